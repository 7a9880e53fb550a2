"""Fuzzes framing and handlers with atheris, which looks for inputs that reach new code of ours.

Run: python fuzz_protocol.py [libFuzzer's options, as -max_total_time=60]. Ends with exit code 0, or with the
input that broke something in a file named crash-*.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:] = [str(TESTS / "trust"), str(TESTS), str(TESTS.parent), *sys.path[1:]]

import atheris  # noqa: E402 - the folder `tests/hef_lsp` must not hide the package

with atheris.instrument_imports(include=["hef_lsp"]):
    from in_process import InProcess


def main() -> None:
    import logging

    logging.disable(logging.CRITICAL)
    server = InProcess(Path(tempfile.mkdtemp(prefix="hef-lsp-fuzz-")))
    atheris.Setup(sys.argv, server.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

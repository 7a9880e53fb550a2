"""The real server over stdio with `tests/fakes.py`'s models, for the end-to-end tests.

Run: python -I stub_server.py [--cache-dir DIR] [--script TEXT] [--delay SECONDS] [--load-delay S] [--fail]
The command `stub.tokens` (of this stub alone) tells how often the generator was called and what it said.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

FAKES = Path(__file__).resolve().parents[1] / "fakes.py"
ROOT = FAKES.parents[1]


def main() -> int:
    arguments = _arguments()
    logging.basicConfig(level=getattr(logging, arguments.log_level.upper()))
    sys.path.insert(0, str(ROOT))  # this working tree, also where another one is installed
    from hef_lsp.server import create_server, run_server
    from model.errors import ModelError

    fakes = _fakes()
    generator = fakes.FakeGenerator([arguments.script], delay_s=arguments.delay)
    if arguments.calls is not None:
        generator.generate = _noting(generator.generate, arguments.calls)

    def load(settings: object, on_progress: object) -> object:
        time.sleep(arguments.load_delay)
        if arguments.fail:
            raise ModelError("no such model; run `hef-lsp model list`")
        print("a library prints while it loads")
        return fakes.fake_bundle(generator=generator)

    def tokens(_: object) -> dict[str, object]:
        return {
            "calls": len(generator.calls),
            "tokens": generator.n_tokens,
            "after_cancel": sum(call.n_after_cancel for call in generator.calls),
            "torch": "torch" in sys.modules,
            "prompts": [call.prompt_text for call in generator.calls],
        }

    server = create_server(load, arguments.cache_dir)  # type: ignore[arg-type]
    server.command("stub.tokens")(lambda arguments: tokens(arguments))
    return run_server(server, tcp_port=arguments.tcp, token="stub-token-stub-token")


def _noting(generate: Callable[..., object], calls: Path) -> Callable[..., object]:
    """With a line in `calls` each time that it is called, for whoever cannot ask by a command."""

    def noting(*arguments: object, **named: object) -> object:
        with calls.open("a") as file:
            file.write("called\n")
        return generate(*arguments, **named)

    return noting


def _fakes() -> ModuleType:
    """By its file: with `tests` on the import path its folder `hef_lsp` would hide the package."""
    spec = importlib.util.spec_from_file_location("fakes", FAKES)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fakes"] = module
    spec.loader.exec_module(module)
    return module


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--script", default="return total")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--load-delay", type=float, default=0.0)
    parser.add_argument("--calls", type=Path)
    parser.add_argument("--tcp", type=int)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--cache-dir", type=Path, default=Path(tempfile.mkdtemp(prefix="hef-lsp-stub-")))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""llama.cpp as a rival, by the npm package node-llama-cpp: for development, never needed by users.

Owns the process and the lines to it; what runs in it is `llama_cpp.mjs` beside this file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SCRIPT = Path(__file__).with_name("llama_cpp.mjs")


class NoLlamaCpp(Exception):
    """node or node-llama-cpp is not there; the message says what to do."""


class LlamaCpp:
    """One process with a GGUF file, and an adapter's beside it. Close it."""

    def __init__(self, folder: Path, gguf: Path, threads: int, adapter: Path | None = None) -> None:
        """`folder` is where ``npm install node-llama-cpp`` was run. Raises NoLlamaCpp."""
        node = shutil.which("node")
        if node is None or not (folder / "node_modules" / "node-llama-cpp").is_dir():
            raise NoLlamaCpp(
                f"{folder} has no node-llama-cpp; run `npm install node-llama-cpp` there, with node"
            )
        self._process = subprocess.Popen(
            [node, str(SCRIPT), str(gguf), str(threads), *([str(adapter)] if adapter else [])],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._read().strip() != "ready":
            self.close()
            raise NoLlamaCpp(f"llama.cpp did not start with {gguf.name}; try the model in it by hand")

    def times_ms(self, ids: Sequence[int], n_new: int) -> tuple[float, float]:
        """Of reading a prompt, and of decoding `n_new` tokens after it. Raises NoLlamaCpp where it died."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"ids": list(ids), "n": n_new}) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._read())
        except (OSError, ValueError) as error:
            raise NoLlamaCpp(f"llama.cpp ended in the middle of its work: {error}") from error
        return float(answer["prefill_ms"]), float(answer["decode_ms"])

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

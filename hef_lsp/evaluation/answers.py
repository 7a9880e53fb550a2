"""The file of answers: a run that was killed goes on where it stopped, and several processes share one.

Owns its lines. Each is written at once and whole, so that processes that append do not mix.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from hef_lsp.evaluation.runner import ArmResult


class AnswerFile:
    """Answers by benchmark; `path` None keeps them in memory. `torn` are the numbers of unreadable lines."""

    def __init__(self, path: Path | None, first: str) -> None:
        """Lines without a benchmark's name are taken for the `first`'s."""
        self._path = path
        self._of: dict[str, list[ArmResult]] = {}
        self.torn: list[int] = []
        self._is_torn = False
        if path is None or not path.is_file():
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        self._is_torn = bool(text) and not text.endswith("\n")
        for number, line in enumerate(text.split("\n"), 1):
            if not line:
                continue
            try:
                answer = json.loads(line)
                name = answer.pop("benchmark", first)
                self._of.setdefault(name, []).append(ArmResult(**answer))
            except (ValueError, TypeError, AttributeError):
                self.torn.append(number)

    def of(self, benchmark: str) -> list[ArmResult]:
        """A list of its own."""
        return list(self._of.get(benchmark, ()))

    def add(self, benchmark: str, result: ArmResult) -> None:
        """Raises OSError."""
        if self._path is None:
            return
        line = json.dumps({"benchmark": benchmark, **asdict(result)}, ensure_ascii=False) + "\n"
        if self._is_torn:
            line, self._is_torn = f"\n{line}", False
        # O_APPEND and one write: what another process adds stands before or after it, never inside.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

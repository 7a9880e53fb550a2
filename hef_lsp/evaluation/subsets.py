"""Which rows ask for a copy: a line that stands, letter for letter, somewhere in what may be seen.

Owns the lines known of a repository. Figures by subset are made in `hef_lsp.evaluation.report`.
"""

from __future__ import annotations

from collections.abc import Iterable

from model.evaluation.benchmarks import BenchmarkRow


class KnownLines:
    """The lines of a repository's files, stripped, each with at most two of the files that have it."""

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        """`texts`: path and text, of whole files or of their pieces."""
        self._files: dict[str, set[str]] = {}
        for path, text in texts:
            for line in text.split("\n"):
                files = self._files.setdefault(line.strip(), set())
                if len(files) < 2:
                    files.add(path)

    def has_target_of(self, row: BenchmarkRow) -> bool:
        """Whether every line of the target stands in another file, or above it in its own."""
        first = row.prefix.rpartition("\n")[2]
        above = {line.strip() for line in row.prefix.split("\n")[:-1]}
        lines = [line.strip() for line in (first + row.target).split("\n") if line.strip()]
        return bool(lines) and all(line in above or self._elsewhere(line, row.path) for line in lines)

    def _elsewhere(self, line: str, path: str) -> bool:
        return bool(self._files.get(line, set()) - {path})

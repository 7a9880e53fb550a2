"""Real source to measure with: lines to type, and workspaces of a given size.

Pure choice from files on disk, the same for the same folder and seed. Knows neither server nor index.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.languages import language_of
from indexer.source_files import FileChange, Rejected, ScannedFile, SourceFile, SourceTree

MAX_FILES = 50_000
MAX_FILE_BYTES = 1 << 20
LEAST_CHARS, MOST_CHARS = 6, 100
"""Of a line that is typed: shorter ones are brackets, longer ones are data."""


@dataclass(frozen=True)
class Passage:
    """Some lines of a real file in a row, to be typed where they stand.

    `before` and `after` are the rest of the file: the one ends with a line end or is empty, the other begins
    with one or is empty.
    """

    path: Path
    language: str
    before: str
    lines: tuple[str, ...]
    after: str

    @property
    def first_line(self) -> int:
        """The number of the first line typed, from 0."""
        return self.before.count("\n")


def source_tree(folder: Path) -> SourceTree:
    """`folder` under the limits of the default settings."""
    return SourceTree(folder, (), MAX_FILES, MAX_FILE_BYTES)


def passages_to_type(folder: Path, n_files: int, n_lines: int, seed: int) -> list[Passage]:
    """One passage of `n_lines` lines in each of at most `n_files` files; seeded."""
    tree, chooser = source_tree(folder), random.Random(seed)
    files = [file for file in tree.scan() if language_of(file.path)]
    chooser.shuffle(files)
    chosen: list[Passage] = []
    for scanned in files:
        if len(chosen) == n_files:
            break
        source = tree.read(FileChange(scanned.path))
        if not isinstance(source, Rejected):
            chosen += _passage_of(tree.root, source, n_lines, chooser)
    return chosen


def _passage_of(root: Path, source: SourceFile, n_lines: int, chooser: random.Random) -> list[Passage]:
    # Line ends as the protocol knows them; a file with \r of any kind is left to others.
    lines = source.text.split("\n")
    if "\r" in source.text:
        return []
    starts = [n for n in range(len(lines) - n_lines + 1) if all(map(_is_typed, lines[n : n + n_lines]))]
    if not starts:
        return []
    start = chooser.choice(starts)
    before, after = lines[:start], lines[start + n_lines :]
    return [
        Passage(
            root / source.path,
            source.language or "plaintext",
            "".join(f"{line}\n" for line in before),
            tuple(lines[start : start + n_lines]),
            "".join(f"\n{line}" for line in after),
        )
    ]


def _is_typed(line: str) -> bool:
    return LEAST_CHARS <= len(line.strip()) <= MOST_CHARS


def copy_lines(source: Path, target: Path, n_lines: int) -> int:
    """Copies source files from `source` to `target` until they hold `n_lines`; the last one is cut.

    Returns the lines copied, fewer where `source` holds fewer.
    """
    tree, n_copied = source_tree(source), 0
    for text, scanned in _readable(tree, tree.scan()):
        lines = io.StringIO(text, newline="").readlines()[: n_lines - n_copied]  # ends at \r, \n, \r\n only
        place = target / scanned.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("".join(lines), encoding="utf-8", newline="")
        n_copied += len(lines)
        if n_copied >= n_lines:
            break
    return n_copied


def _readable(tree: SourceTree, files: Iterable[ScannedFile]) -> Iterable[tuple[str, ScannedFile]]:
    for scanned in files:
        if language_of(scanned.path):
            source = tree.read(FileChange(scanned.path))
            if isinstance(source, SourceFile) and source.text:
                yield source.text, scanned


def spread_over(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of `paths`, at even distances."""
    step = max(1, len(paths) // max(1, count))
    return list(paths[::step][:count])

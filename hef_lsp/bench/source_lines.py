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


@dataclass(frozen=True)
class TypedLine:
    """A line of a real file: `shown` is the file with the line cut back to `typed_before`, and `keys`
    are the characters that its author typed there."""

    path: Path
    language: str
    shown: str
    line: int
    typed_before: str
    keys: str


def source_tree(folder: Path) -> SourceTree:
    """`folder` under the limits of the default settings."""
    return SourceTree(folder, (), MAX_FILES, MAX_FILE_BYTES)


def lines_to_type(folder: Path, n_files: int, n_keys: int, seed: int) -> list[TypedLine]:
    """One line in each of at most `n_files` files, long enough for `n_keys` keys; seeded."""
    tree, chooser = source_tree(folder), random.Random(seed)
    files = [file for file in tree.scan() if language_of(file.path)]
    chooser.shuffle(files)
    chosen: list[TypedLine] = []
    for scanned in files:
        if len(chosen) == n_files:
            break
        source = tree.read(FileChange(scanned.path))
        if not isinstance(source, Rejected):
            chosen += _line_of(tree.root, source, n_keys, chooser)
    return chosen


def _line_of(root: Path, source: SourceFile, n_keys: int, chooser: random.Random) -> list[TypedLine]:
    # Line ends as the protocol knows them; a file with \r of any kind is left to others.
    lines = source.text.split("\n")
    if "\r" in source.text:
        return []
    long_enough = [number for number, line in enumerate(lines) if len(line.strip()) >= n_keys]
    if not long_enough:
        return []
    number = chooser.choice(long_enough)
    line = lines[number]
    indentation = line[: len(line) - len(line.lstrip())]
    shown = "\n".join([*lines[:number], indentation, *lines[number + 1 :]])
    keys = line[len(indentation) :][:n_keys]
    return [TypedLine(root / source.path, source.language or "plaintext", shown, number, indentation, keys)]


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

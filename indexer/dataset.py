"""Training records from an index: cursors in its files, and what the product's own search finds there.

Owns where cursors fall and what a search at a cursor may see. The format is
`model.training.records`; which repositories may be used is the caller's to decide.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from indexer.retriever import Hit, Query, Retriever, near_text, query_text
from indexer.view import IndexView
from model.training.records import ChunkPlace, Record, RecordFile

WINDOW_CHARS = 1500
"""About what the prompt shows before the cursor; these lines are never retrieved."""
SUFFIX_LINES = 20
LEAST_LINE, MOST_LINE = 4, 160
LEAST_LINES_ABOVE = 3
_END_OF_FILE = 1 << 30
_IDENTIFIER = re.compile(r"[A-Za-z_]\w{2,}")
_BORDER = re.compile(r"(?<=[.(\[=, ])(?=[\w\"'\[({])")
_NO_TARGET = re.compile(r"\s*(?:#|import\b|from\b|\"\"\"|''')|\s*[\])}]*,?\s*\Z")


@dataclass(frozen=True)
class CursorPlan:
    """How many cursors, and of which kinds; shares are of 1.

    One cursor in `lines_a_cursor` lines of a file; `mid_line` of them stand within a line, `sees_suffix`
    know what follows. Of those where nothing could be copied from the hits only `keep_others` stay.
    """

    lines_a_cursor: int = 9
    mid_line: float = 0.4
    sees_suffix: float = 0.4
    keep_others: float = 0.5
    n_hits: int = 8
    seed: int = 0


def record_files(view: IndexView, texts: Mapping[str, str]) -> tuple[RecordFile, ...]:
    """The files of `texts` that the index knows, with their chunks, in order of path."""
    return tuple(
        RecordFile(path, texts[path], tuple((int(s), int(e)) for s, e, _ in view.files[path].spans))
        for path in sorted(texts)
        if path in view.files
    )


def cut_records(
    view: IndexView, files: tuple[RecordFile, ...], retriever: Retriever, plan: CursorPlan
) -> Iterator[Record]:
    """The cursors of all files; the same plan gives the same records."""
    numbers = {file.path: number for number, file in enumerate(files)}
    for number, file in enumerate(files):
        source = random.Random(f"{plan.seed} {file.path} {len(file.text)}")
        for offset in _cursors(file.text, plan, source):
            sees_suffix = source.random() < plan.sees_suffix
            hits = _search(view, retriever, file, offset, sees_suffix, plan.n_hits)
            places = tuple(_place(hit, numbers) for hit in hits if hit.node.path in numbers)
            copies = _copies(file.text, offset, hits)
            if places and (copies or source.random() < plan.keep_others):
                yield Record(number, offset, sees_suffix, copies, places)


def _cursors(text: str, plan: CursorPlan, source: random.Random) -> list[int]:
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    usable = [
        number
        for number, line in enumerate(lines)
        if number >= LEAST_LINES_ABOVE
        and LEAST_LINE <= len(line.strip()) <= MOST_LINE
        and not _NO_TARGET.match(line)
    ]
    n_wanted = min(len(usable), max(1, len(lines) // plan.lines_a_cursor))
    return [
        starts[number] + _column(lines[number], plan, source)
        for number in sorted(source.sample(usable, n_wanted))
    ]


def _column(line: str, plan: CursorPlan, source: random.Random) -> int:
    borders = [match.start() for match in _BORDER.finditer(line)]
    return source.choice(borders) if borders and source.random() < plan.mid_line else 0


def _search(
    view: IndexView, retriever: Retriever, file: RecordFile, offset: int, sees_suffix: bool, n_hits: int
) -> list[Hit]:
    """Never anything of the target: it lies in the excluded lines, and those after it too if unseen."""
    prefix = file.text[:offset]
    # What is completed next is not known to the search, only the lines after it are.
    suffix = file.text[offset:].partition("\n")[2] if sees_suffix else ""
    line = prefix.count("\n")
    first = max(0, line - max(SUFFIX_LINES, prefix[-WINDOW_CHARS:].count("\n")))
    excluded = (first, line + SUFFIX_LINES + 1 if sees_suffix else _END_OF_FILE)
    query = Query(
        query_text(prefix, suffix), file.path, excluded, n_hits, False, near=near_text(prefix, suffix)
    )
    return retriever.retrieve(view, query)


def _place(hit: Hit, numbers: Mapping[str, int]) -> ChunkPlace:
    return numbers[hit.node.path], int(hit.node.id.rpartition("#")[2])


def _copies(text: str, offset: int, hits: list[Hit]) -> bool:
    target = text[offset:].partition("\n")[0]
    wanted = set(_IDENTIFIER.findall(target)) - set(
        _IDENTIFIER.findall(text[max(0, offset - WINDOW_CHARS) : offset])
    )
    return bool(wanted) and any(wanted & set(_IDENTIFIER.findall(hit.text)) for hit in hits)

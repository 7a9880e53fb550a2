"""Lines of other files where one stands as at the cursor: what retrieval makes of the exact memory.

Owns the way from places among tokens to lines. Code that was copied and changed goes on as its origin does,
and its origin is worth showing to the generator: the chunk with the line that followed there
(docs/decisions/0015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.kin_search import Standing
from indexer.suffix_session import SuffixSession

MOST_LINES = 12
LEAST_ALIKE = 0.25
"""Of places that are less alike what followed tells nothing."""


@dataclass(frozen=True)
class FileLine:
    """A line of a file, counted from 0."""

    path: str
    line: int


def likest_lines(
    session: SuffixSession, above: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> tuple[FileLine, ...]:
    """The lines that followed where the lines before are like those `above` the cursor, the likest first.

    `above` are the tokens up to the end of a line, its line break left out.
    """
    found = (one for one in session.likest(above, MOST_LINES) if one.alike >= LEAST_ALIKE)
    return tuple(dict.fromkeys(_line_after(standing, decode) for standing in found))


def _line_after(standing: Standing, decode: Callable[[Sequence[int]], str]) -> FileLine:
    segment = standing.segment
    number = int(segment.file_of(np.array([standing.place]))[0])
    before = segment.stored[int(segment.starts[number]) : standing.place + 1].astype(np.int64) - 1
    return FileLine(segment.paths[number], decode(before.tolist()).count("\n"))

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
from indexer.suffix_segment import Tokens
from indexer.suffix_session import SuffixSession

MOST_LINES = 12
LEAST_ALIKE = 0.25
"""Of places that are less alike what followed tells nothing."""
_UNKNOWN = -1


@dataclass(frozen=True)
class FileLine:
    """A line of a file, counted from 0."""

    path: str
    line: int


class LineCounter:
    """How many lines tokens end. Asks once what a token says; called in the inference lane only."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ended = np.full(0, _UNKNOWN, dtype=np.int16)

    def count(self, ids: Tokens) -> int:
        """Line ends in the text of `ids` ``[n]``."""
        if not len(ids):
            return 0
        self._ask(ids)
        return int(self._ended[ids].sum())

    def _ask(self, ids: Tokens) -> None:
        n_more = int(ids.max()) + 1 - len(self._ended)
        if n_more > 0:
            self._ended = np.concatenate([self._ended, np.full(n_more, _UNKNOWN, dtype=np.int16)])
        for token in np.unique(ids[self._ended[ids] == _UNKNOWN]).tolist():
            self._ended[token] = self._decode([token]).count("\n")


def likest_lines(session: SuffixSession, above: Sequence[int], counter: LineCounter) -> tuple[FileLine, ...]:
    """The lines that followed where the lines before are like those `above` the cursor, the likest first.

    `above` are the tokens up to the end of a line, its line break left out.
    """
    found = (one for one in session.likest(above, MOST_LINES) if one.alike >= LEAST_ALIKE)
    return tuple(dict.fromkeys(_line_after(standing, counter) for standing in found))


def _line_after(standing: Standing, counter: LineCounter) -> FileLine:
    segment = standing.segment
    number = int(segment.file_of(np.array([standing.place]))[0])
    up_to = standing.place + 1 - int(segment.starts[number])
    return FileLine(segment.paths[number], counter.count(segment.tokens_of(number)[:up_to]))

"""How much the surroundings of a place in the exact memory resemble those of the cursor.

Owns the comparison of the tokens before a place with the tokens before the cursor where they are not the
same to the letter. A suffix match ends at the first word that was renamed or added; what stands farther
back still tells which of many places goes on as this one will. Which places are compared is
`indexer.kin_search`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from indexer.suffix_segment import Segment
from model.protocols import FloatArray, IntArray

WINDOW = 64
"""Tokens before a place, and before the cursor, that are compared: some six lines of code."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """Of `n` places, each ``[n]`` and 0 to 1.

    `cover`: the share of the cursor's different words that stand before the place, too, each weighed by how
    rare it is. `aligned`: the share of the window in which the same word stands at the same distance, nearer
    words counting more. `deep`: how many words before the place are the same without a gap, of `WINDOW`.
    """

    cover: FloatArray
    aligned: FloatArray
    deep: FloatArray

    @property
    def both(self) -> FloatArray:
        """Cover and alignment together, 0 to 2: by it places are ranked."""
        both: FloatArray = self.cover + self.aligned
        return both


class Surroundings:
    """The words before the cursor. For one request's thread."""

    def __init__(self, window: Sequence[int], rarity: Sequence[float]) -> None:
        """`window` are the last tokens before the cursor; `rarity` is the weight of each."""
        weights = dict(zip(window, rarity, strict=True))
        self._backwards = np.array(window[::-1], dtype=np.int64) + 1
        self._words = np.array(list(weights), dtype=np.int64) + 1
        self._weights = np.array([0.0, *weights.values()], dtype=np.float32)
        self._weights /= max(float(self._weights.sum()), 1e-6)

    def likeness(self, windows: NDArray[np.unsignedinteger]) -> Likeness:
        """What stands before each of some places; `windows` ``[n, W]`` as `windows_before` gives them."""
        same = windows == self._backwards
        deep = np.where(same.all(axis=1), len(self._backwards), same.argmin(axis=1)) / np.float32(WINDOW)
        return Likeness(self._cover(windows), same @ _decay(len(self._backwards)), deep.astype(np.float32))

    def _cover(self, windows: NDArray[np.unsignedinteger]) -> FloatArray:
        """A place's row has a column for each different word, and the first for all others."""
        n_columns = len(self._weights)
        column_of = np.zeros(1 + max(int(windows.max(initial=0)), int(self._words.max())), dtype=np.int64)
        column_of[self._words] = np.arange(1, n_columns)
        there = np.zeros((len(windows), n_columns), dtype=np.float32)
        at = column_of.take(windows)
        at += np.arange(0, there.size, n_columns)[:, None]
        there.put(at, 1.0)
        cover: FloatArray = there @ self._weights
        return cover


def windows_before(segment: Segment, places: IntArray, n_words: int) -> NDArray[np.unsignedinteger]:
    """The stored tokens before each place, nearest first ``[n, W]``; zero where its file begins."""
    back = places[:, None] - np.arange(1, n_words + 1)
    inside = back >= segment.starts.take(segment.file_of(places))[:, None]
    return segment.stored.take(back, mode="clip") * inside


@lru_cache
def _decay(n: int) -> FloatArray:
    weights = 1.0 / (1.0 + np.arange(n) / 16)
    decay: FloatArray = (weights / weights.sum()).astype(np.float32)
    return decay

"""How much the surroundings of a place in the exact memory resemble those of the cursor.

Owns the comparison of the tokens before a place with the tokens before the cursor where they are not the
same to the letter. A suffix match ends at the first word that was renamed or added; what stands farther
back still tells which of many places goes on as this one will. Which places are compared is
`indexer.kin_search`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    @staticmethod
    def joined(parts: Sequence[Likeness]) -> Likeness:
        """One after the other."""
        return Likeness(
            np.concatenate([part.cover for part in parts]),
            np.concatenate([part.aligned for part in parts]),
            np.concatenate([part.deep for part in parts]),
        )


class Surroundings:
    """The words before the cursor. For one request's thread."""

    def __init__(self, window: IntArray, rarity: FloatArray) -> None:
        """`window` ``[W]`` are the last tokens before the cursor; `rarity` ``[W]`` is the weight of each."""
        window = window + 1
        self._backwards = window[::-1]
        words, first = np.unique(window, return_index=True)
        self._words, self._weights = words, rarity[first].astype(np.float32)
        self._weights /= max(float(self._weights.sum()), 1e-6)

    def likeness(self, segment: Segment, places: IntArray) -> Likeness:
        """What stands before each of `places` of `segment`."""
        windows = self._windows(segment, places)
        same = windows == self._backwards[None]
        return Likeness(
            self._cover(windows),
            (same @ _decay(len(self._backwards))).astype(np.float32),
            (np.logical_and.accumulate(same, axis=1).sum(axis=1) / WINDOW).astype(np.float32),
        )

    def _windows(self, segment: Segment, places: IntArray) -> IntArray:
        """The stored tokens before each place, nearest first ``[n, W]``; zero where its file begins."""
        offsets = np.arange(1, len(self._backwards) + 1)
        starts = segment.starts[segment.file_of(places)]
        wanted = places[:, None] - offsets
        inside = wanted >= starts[:, None]
        found: IntArray = np.where(inside, segment.stored[np.maximum(wanted, 0)], 0).astype(np.int64)
        return found

    def _cover(self, windows: IntArray) -> FloatArray:
        slots = np.searchsorted(self._words, windows)
        slots[slots == len(self._words)] = 0
        known = self._words[slots] == windows
        there = np.zeros((len(windows), len(self._words) + 1), dtype=np.float32)
        rows = np.broadcast_to(np.arange(len(windows))[:, None], windows.shape)
        there[rows, np.where(known, slots, len(self._words))] = 1.0
        cover: FloatArray = there[:, :-1] @ self._weights
        return cover


def _decay(n: int) -> NDArray[np.float32]:
    weights = 1.0 / (1.0 + np.arange(n) / 16)
    decay: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return decay

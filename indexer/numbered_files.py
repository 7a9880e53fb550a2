"""Files and places of several segments, counted through all of them: one question does for all.

Owns the numbers, and how near each file is to the one that is asked for. Never changed; any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from indexer.folders import folders_of, nearness
from indexer.suffix_segment import Segment


class NumberedFiles:
    """`bases` ``[segments + 1]`` is what is added to a segment's places, and at last the end of all.

    `starts` ``[files]`` is where each file begins.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = tuple(segments)
        self.bases = np.array([0, *accumulate(len(segment.stored) for segment in segments)])
        starts = [segment.starts + base for segment, base in zip(segments, self.bases, strict=False)]
        self.starts = np.concatenate([self.bases[:0], *starts])
        folders = [folders_of(path) for path in chain.from_iterable(segment.paths for segment in segments)]
        numbers = {each: number for number, each in enumerate(dict.fromkeys(folders))}
        self._folders = tuple(numbers)
        self._folders_of = np.array([numbers[each] for each in folders], np.int64)
        self._near: tuple[tuple[str, ...], NDArray[np.float64]] | None = None

    def nearness_to(self, path: str) -> NDArray[np.float64]:
        """Of each file, ``[files]``; kept for the folder that was asked for last."""
        here, known = folders_of(path), self._near
        if known is None or known[0] != here:
            of_folders = np.array([nearness(here, other) for other in self._folders], np.float64)
            known = self._near = here, of_folders.take(self._folders_of)
        return known[1]

    def ahead(self, place: int) -> tuple[int, ...]:
        """What stands from a place on, as `Segment.ahead`."""
        number = int(self.bases.searchsorted(place, side="right")) - 1
        return self.segments[number].ahead(place - int(self.bases[number]))

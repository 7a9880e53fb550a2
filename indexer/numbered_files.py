"""Files and places of several segments, counted through all of them: one question does for all.

Owns the numbers, and how near each file is to the one that is asked for, of which only what was asked is
worked out: there is a new one of these after every change of the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from indexer.folders import folders_of, nearness
from indexer.suffix_segment import Segment
from model.protocols import IntArray


class Nearness:
    """Of numbered files to those in the folders `here`; one thread."""

    def __init__(self, here: tuple[str, ...], paths: Sequence[str]) -> None:
        self.here = here
        self._paths = paths
        self._known = np.full(len(paths), np.nan)

    def of(self, files: IntArray) -> NDArray[np.float64]:
        """Of each of some files, ``[n]``."""
        near = self._known.take(files)
        unknown = files[np.isnan(near)]
        if len(unknown):
            for file in set(unknown.tolist()):
                self._known[file] = nearness(self.here, folders_of(self._paths[file]))
            near = self._known.take(files)
        return near


class NumberedFiles:
    """`bases` ``[segments + 1]`` is what is added to a segment's places, and at last the end of all."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = tuple(segments)
        self.bases = np.array([0, *accumulate(len(segment.stored) for segment in segments)])
        starts = [segment.starts + base for segment, base in zip(segments, self.bases, strict=False)]
        self._starts = np.concatenate([self.bases[:0], *starts])
        self._paths = list(chain.from_iterable(segment.paths for segment in segments))
        self._nearness = Nearness((), self._paths)

    def file_of(self, places: IntArray) -> IntArray:
        """The numbers of the files that `places` lie in."""
        found: IntArray = self._starts.searchsorted(places, side="right") - 1
        return found

    def nearness_to(self, path: str) -> Nearness:
        """Of each file to `path`; what is known is kept for the folder that was asked for last."""
        here = folders_of(path)
        if self._nearness.here != here:
            self._nearness = Nearness(here, self._paths)
        return self._nearness

    def ahead(self, place: int) -> tuple[int, ...]:
        """What stands from a place on, as `Segment.ahead`."""
        number = int(self.bases.searchsorted(place, side="right")) - 1
        return self.segments[number].ahead(place - int(self.bases[number]))

"""Exact memory: where in the workspace the last few tokens stood before, and what followed them.

Owns which file's tokens are in which segment, merging and the cap. One thread updates; snapshots never
change and any thread may read them. Sorting and searching is `indexer.suffix_segment`, what a request asks
`indexer.suffix_session`.

Segments are kept as in a log-structured merge tree: a batch of files becomes a small segment, neighbours of
like size are merged, a replaced file is only marked dead until its segment is merged or mostly dead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from indexer.numbered_files import NumberedFiles
from indexer.suffix_segment import Segment, build_segment
from model.protocols import BoolArray, IntArray

MERGE_FACTOR = 4
"""A segment is merged with the one before it unless that one is so many times larger."""
MOST_DEAD = 0.3
"""A segment with a larger share of dead tokens is built anew."""
FEW_DEAD = 4
"""Up to so many dead files, comparing places with their ends is faster than looking each place's file up."""


@dataclass(frozen=True, eq=False)
class LiveSegment:
    """A segment and which of its files still count."""

    segment: Segment
    alive: BoolArray

    @property
    def n_live(self) -> int:
        lengths = np.diff(np.append(self.segment.starts, len(self.segment.stored) + 1)) - 1
        return int(lengths[self.alive].sum())

    def without(self, path: str) -> LiveSegment:
        """One for which the file `path` does not count."""
        try:
            number = self.segment.paths.index(path)
        except ValueError:
            return self
        alive = self.alive.copy()
        alive[number] = False
        return LiveSegment(self.segment, alive)

    def living(self, places: IntArray) -> IntArray:
        """Those of `places` that lie in files that count."""
        if self._dead is None:
            return places[self.alive[self.segment.file_of(places)]]
        for begin, end in self._dead:
            places = places[(places < begin) | (places >= end)]
        return places

    @cached_property
    def _dead(self) -> tuple[tuple[int, int], ...] | None:
        """Where the files begin and end that do not count; None for more than a few."""
        numbers = np.flatnonzero(~self.alive)
        if len(numbers) > FEW_DEAD:
            return None
        ends = np.append(self.segment.starts[1:], len(self.segment.stored) + 1)
        return tuple((int(self.segment.starts[n]), int(ends[n])) for n in numbers)


@dataclass(frozen=True)
class SuffixSnapshot:
    """The memory at one time."""

    segments: tuple[LiveSegment, ...] = ()

    @property
    def n_tokens(self) -> int:
        return sum(part.n_live for part in self.segments)

    @cached_property
    def files(self) -> NumberedFiles:
        """Those of all segments, the dead ones, too."""
        return NumberedFiles([part.segment for part in self.segments])

    @property
    def n_bytes(self) -> int:
        return sum(part.segment.n_bytes for part in self.segments)


class SuffixIndex:
    """Invariant: a path is alive in at most one segment, with its latest tokens.

    At most `max_tokens` are held: a file that would exceed them is left out until there is room and it
    changes again.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._segments: list[LiveSegment] = []
        self._sizes: dict[str, int] = {}
        self._left_out: set[str] = set()

    @property
    def n_left_out(self) -> int:
        """Files that did not fit."""
        return len(self._left_out)

    def snapshot(self) -> SuffixSnapshot:
        """What is known now."""
        return SuffixSnapshot(tuple(self._segments))

    def restore(self, snapshot: SuffixSnapshot) -> None:
        """Begins with what an index had before; raises ValueError if that is more than it may hold."""
        if snapshot.n_tokens > self._max_tokens:
            raise ValueError(f"{snapshot.n_tokens} tokens, at most {self._max_tokens} may be held")
        self._segments = list(snapshot.segments)
        self._sizes = {path: len(ids) for part in self._segments for path, ids in live_files(part)}
        self._left_out.clear()

    def update(self, changes: Mapping[str, IntArray | None]) -> None:
        """Takes over the tokens of each path; None forgets it."""
        self._kill({path for path in changes if path in self._sizes})
        for path in changes:
            self._sizes.pop(path, None)
            self._left_out.discard(path)
        added: list[tuple[str, IntArray]] = []
        room = self._max_tokens - sum(self._sizes.values())
        for path, ids in sorted(changes.items()):
            if ids is None or not len(ids):
                continue
            if len(ids) > room:
                self._left_out.add(path)
                continue
            room -= len(ids)
            self._sizes[path] = len(ids)
            added.append((path, ids))
        if added:
            self._append(build_segment(added))
        self._compact()

    def _append(self, segment: Segment) -> None:
        self._segments.append(LiveSegment(segment, np.ones(len(segment.paths), dtype=bool)))

    def _kill(self, paths: set[str]) -> None:
        if not paths:
            return
        for number, part in enumerate(self._segments):
            dead = np.array([path in paths for path in part.segment.paths])
            if (dead & part.alive).any():
                self._segments[number] = replace(part, alive=part.alive & ~dead)

    def _compact(self) -> None:
        """Mostly dead segments first, then neighbours from the newest on."""
        for number, part in enumerate(self._segments):
            if part.n_live < (1 - MOST_DEAD) * part.segment.n_tokens:
                self._merge(number, number + 1)
        self._segments = [part for part in self._segments if part.segment.n_tokens]
        while len(self._segments) > 1:
            last, before = self._segments[-1], self._segments[-2]
            if before.segment.n_tokens > MERGE_FACTOR * last.segment.n_tokens:
                break
            self._merge(len(self._segments) - 2, len(self._segments))

    def _merge(self, begin: int, end: int) -> None:
        files = [file for part in self._segments[begin:end] for file in live_files(part)]
        merged = build_segment(sorted(files, key=lambda file: file[0]))
        self._segments[begin:end] = [LiveSegment(merged, np.ones(len(merged.paths), dtype=bool))]


def live_files(part: LiveSegment) -> Sequence[tuple[str, IntArray]]:
    """The files of a segment that still count, with their tokens."""
    return [
        (path, part.segment.tokens_of(number).astype(np.int64))
        for number, path in enumerate(part.segment.paths)
        if part.alive[number]
    ]

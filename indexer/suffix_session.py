"""What one request asks of the exact memory: the longest match of its last tokens, and what followed.

Owns the target file's share: what the index knows of it does not count, only its tokens up to the cursor
do, so nothing after the cursor is ever proposed. Implements `model.exact_memory.ExactMemory`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from indexer.suffix_index import LiveSegment, SuffixSnapshot
from indexer.suffix_segment import Range, build_segment
from model.exact_memory import Candidate, Match
from model.protocols import IntArray

MOST_OWN_TOKENS = 16_384
MOST_CANDIDATES = 8
_OWN = ""
"""Stands for the target file up to the cursor."""


class SuffixSession:
    """Searches a snapshot and the open file's own tokens. One thread at a time."""

    def __init__(self, snapshot: SuffixSnapshot, excluded_path: str, own_ids: Sequence[int]) -> None:
        self._folders = excluded_path.split("/")[:-1]
        self._sources: list[LiveSegment] = []
        own = np.asarray(own_ids[-MOST_OWN_TOKENS:], dtype=np.int64)
        if len(own):
            segment = build_segment([(_OWN, own)])
            self._sources.append(LiveSegment(segment, np.ones(1, dtype=bool)))
        for part in snapshot.segments:
            alive = part.alive.copy()
            for number, path in enumerate(part.segment.paths):
                if path == excluded_path:
                    alive[number] = False
            self._sources.append(LiveSegment(part.segment, alive))

    def match(self, context: Sequence[int], most: int | None = None) -> Match | None:
        """The places that follow the longest known suffix of `context` (of at most `most` tokens)."""
        known = [
            source.segment.ranges(context if most is None else context[-most:]) for source in self._sources
        ]
        for length in range(max(map(len, known), default=0), 0, -1):
            found = [
                (source, *_live_places(source, ranges[length - 1]))
                for source, ranges in zip(self._sources, known, strict=True)
                if len(ranges) >= length
            ]
            if any(len(places) for _, places, _ in found):
                return self._match(length, found)
        return None

    def _match(self, length: int, found: Sequence[tuple[LiveSegment, IntArray, float]]) -> Match:
        followers = [(source, places, source.segment.next_of(places)) for source, places, _ in found]
        counts: dict[int, float] = {}
        for (_, _, tokens), (_, _, weight) in zip(followers, found, strict=True):
            names, numbers = np.unique(tokens, return_counts=True)
            for token, n in zip(names.tolist(), numbers.tolist(), strict=True):
                counts[token] = counts.get(token, 0.0) + n * weight
        # Only the best are looked at closely: after a common word thousands of others follow.
        best = heapq.nsmallest(MOST_CANDIDATES, counts, key=lambda token: (-counts[token], token))
        candidates = tuple(self._candidate(token, round(counts[token]), followers) for token in best)
        return Match(length, round(sum(counts.values())), candidates)

    def _candidate(
        self, token: int, count: int, followers: Sequence[tuple[LiveSegment, IntArray, IntArray]]
    ) -> Candidate:
        said = [(source, places[tokens == token]) for source, places, tokens in followers]
        where = [(*self._nearest(source, places), source) for source, places in said if len(places)]
        near, place, source = max(where, key=lambda item: item[0])
        in_file = any(source.segment.paths[0] == _OWN for _, _, source in where)
        return Candidate(token, count, in_file, near, _ahead(source, place))

    def _nearest(self, source: LiveSegment, places: IntArray) -> tuple[float, int]:
        """How near the nearest of some places is (1 in the own file, else by folders), and which it is."""
        if source.segment.paths[0] == _OWN:
            return 1.0, int(places.max())
        some = places[:MOST_COMPARED]
        scores = [self._nearness(source.segment.paths[n]) for n in source.segment.file_of(some)]
        best = max(range(len(scores)), key=scores.__getitem__)
        return scores[best], int(some[best])

    def _nearness(self, path: str) -> float:
        folders = path.split("/")[:-1]
        common = next(
            (i for i, (a, b) in enumerate(zip(folders, self._folders, strict=False)) if a != b),
            min(len(folders), len(self._folders)),
        )
        return 1.0 / (2.0 + len(folders) + len(self._folders) - 2 * common)


MOST_AHEAD = 12
"""Tokens that are handed out for drafting."""


MOST_COMPARED = 8
"""Places of a candidate whose nearness is compared."""


def _ahead(source: LiveSegment, place: int) -> tuple[int, ...]:
    """The tokens from a place on, to the end of its file at most."""
    ahead = source.segment.stored[place : place + MOST_AHEAD].astype(np.int64) - 1
    ends = np.flatnonzero(ahead < 0)
    return tuple(int(token) for token in (ahead[: ends[0]] if len(ends) else ahead))


def _live_places(source: LiveSegment, found: Range) -> tuple[IntArray, float]:
    places, weight = source.segment.places(found)
    if source.alive.all():
        return places, weight
    return places[source.alive[source.segment.file_of(places)]], weight

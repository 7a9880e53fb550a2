"""What one request asks of the exact memory: the longest match of its last tokens, and what followed.

Owns the target file's share: what the index knows of it does not count, only its tokens up to the cursor
do, so nothing after the cursor is ever proposed. Implements `model.exact_memory.ExactMemory`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from indexer.folders import n_shared
from indexer.kin_search import KinSearch, Source, Standing
from indexer.kinship import WINDOW
from indexer.suffix_index import LiveSegment, SuffixSnapshot
from indexer.suffix_segment import ORDER, Range, build_segment, is_whole, n_places
from model.exact_memory import Candidate, Kin, Match, TrackRecord
from model.protocols import IntArray

MOST_OWN_TOKENS = 16_384
MOST_CANDIDATES = 8
MOST_MATCHES = 3
MOST_COMPARED = 8
"""Places of a candidate whose nearness is compared."""
NO_RECORD = TrackRecord()
_OWN = ""
"""Stands for the target file up to the cursor."""

Found = tuple[LiveSegment, IntArray, float]
"""Some places of a source, and for how many each stands."""


class SuffixSession:
    """Searches a snapshot and the open file's own tokens. One thread at a time."""

    def __init__(
        self,
        snapshot: SuffixSnapshot,
        excluded_path: str,
        own_ids: Sequence[int],
        record: TrackRecord = NO_RECORD,
    ) -> None:
        self.record = record
        self._folders = excluded_path.split("/")[:-1]
        self._sources: list[LiveSegment] = []
        own = np.asarray(own_ids[-MOST_OWN_TOKENS:], dtype=np.int64)
        if len(own):
            segment = build_segment([(_OWN, own)])
            self._sources.append(LiveSegment(segment, np.ones(1, dtype=bool)))
        self._sources += [part.without(excluded_path) for part in snapshot.segments]
        self._nearness_of: dict[str, float] = {}
        self._last: tuple[tuple[int, ...], list[list[Range]]] = ((), [])
        self._kin = KinSearch([Source(source, _end_of(source)) for source in self._sources])

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        """The longest known suffix, then shorter ones, each at twice as many places as the one before."""
        return tuple(islice(self._matches(context, MOST_OWN_TOKENS), MOST_MATCHES))

    def kin(self, context: Sequence[int]) -> tuple[Kin, ...]:
        """What followed where the surroundings are like those of `context`, the likest first."""
        return self._kin.kin(context, self._ranges(context))

    def likest(self, context: Sequence[int], most: int) -> tuple[Standing, ...]:
        """Where in other files one stands as after `context`, the likest first."""
        known = self._ranges(context)
        found = self._kin.likest(context, known, 2 * most)  # the open file's own places are among them
        return tuple(standing for standing in found if standing.segment.paths[0] != _OWN)[:most]

    def guess_at(self, place: int) -> tuple[int, int] | None:
        """What the memory would have said of the own token at `place`, knowing only those before it.

        The length of the match, and the token named; None where nothing matches.
        """
        own = self._sources[0].segment.tokens_of(0)
        context = own[max(0, place - ORDER) : place].astype(np.int64).tolist()
        match = next(self._matches(context, place, closely=False), None)
        return None if match is None else (match.length, match.candidates[0].token_id)

    def _matches(self, context: Sequence[int], own_end: int, closely: bool = True) -> Iterator[Match]:
        """Longest first; of the open file only the first `own_end` tokens count."""
        known, least = self._ranges(context), 1.0
        length = max(map(len, known), default=0)
        while length := self._longest(known, length, own_end, least):
            found = self._found(known, length, own_end)
            yield self._match(length, found, MOST_CANDIDATES if closely else 1)
            least = 2 * _support(found)
            length -= 1

    def _longest(self, known: Sequence[Sequence[Range]], most: int, own_end: int, least: float) -> int:
        """The longest match of up to `most` tokens that has so much support; 0: none.

        A longer one's places are among a shorter one's, so that half of the lengths are left out at a time
        while all places are looked at, not a sample. The open file's copy in the index, which does not count,
        matches at every length.
        """

        def has_less(length: int) -> bool:
            return n_places(known, length) < least or _support(self._found(known, length, own_end)) < least

        first_whole = bisect_left(range(1, most + 1), x=True, key=lambda length: _is_whole(known, length)) + 1
        longest = first_whole - 1 + bisect_left(range(first_whole, most + 1), x=True, key=has_less)
        while longest and longest < first_whole and has_less(longest):
            longest -= 1
        return longest

    def _found(self, known: Sequence[Sequence[Range]], length: int, own_end: int) -> list[Found]:
        """Where each source has the last `length` tokens."""
        return [
            (source, *_live_places(source, ranges[length - 1], own_end))
            for source, ranges in zip(self._sources, known, strict=True)
            if len(ranges) >= length
        ]

    def _ranges(self, context: Sequence[int]) -> list[list[Range]]:
        """Of each source; the last answer is kept, since drafts and choice ask for the same words."""
        words = tuple(context[-ORDER:])
        if self._last[0] != words or not words:
            self._last = (words, [source.segment.ranges(words) for source in self._sources])
        return self._last[1]

    def _match(self, length: int, found: Sequence[Found], most: int) -> Match:
        followers = [(source, places, source.segment.next_of(places)) for source, places, _ in found]
        counts: dict[int, float] = {}
        for (_, _, tokens), (_, _, weight) in zip(followers, found, strict=True):
            names, numbers = np.unique(tokens, return_counts=True)
            for token, n in zip(names.tolist(), numbers.tolist(), strict=True):
                counts[token] = counts.get(token, 0.0) + n * weight
        # Only the best are looked at closely: after a common word thousands of others follow.
        best = heapq.nsmallest(most, counts, key=lambda token: (-counts[token], token))
        candidates = tuple(
            self._candidate(token, round(counts[token]), followers, with_ahead=not rank)
            for rank, token in enumerate(best)
        )
        return Match(length, round(sum(counts.values())), candidates)

    def _candidate(
        self,
        token: int,
        count: int,
        followers: Sequence[tuple[LiveSegment, IntArray, IntArray]],
        with_ahead: bool,
    ) -> Candidate:
        said = [(source, places[tokens == token]) for source, places, tokens in followers]
        where = [(*self._nearest(source, places), source) for source, places in said if len(places)]
        near, place, source = max(where, key=lambda item: item[0])
        n_own = sum(len(places) for source, places in said if source.segment.paths[0] == _OWN)
        return Candidate(token, count, n_own, near, source.segment.ahead(place) if with_ahead else ())

    def _nearest(self, source: LiveSegment, places: IntArray) -> tuple[float, int]:
        """How near the nearest of some places is (1 in the own file, else by folders), and which it is."""
        if source.segment.paths[0] == _OWN:
            return 1.0, int(places.max())
        some = places[:MOST_COMPARED]
        scores = [self._nearness(source.segment.paths[n]) for n in source.segment.file_of(some).tolist()]
        best = max(range(len(scores)), key=scores.__getitem__)
        return scores[best], int(some[best])

    def _nearness(self, path: str) -> float:
        if path not in self._nearness_of:
            folders = path.split("/")[:-1]
            common = n_shared(folders, self._folders)
            self._nearness_of[path] = 1.0 / (2.0 + len(folders) + len(self._folders) - 2 * common)
        return self._nearness_of[path]


def _end_of(source: LiveSegment) -> int:
    """Of the places that may be kin: the open file's last words resemble themselves."""
    n_stored = len(source.segment.stored)
    return n_stored - WINDOW if source.segment.paths[0] == _OWN else n_stored


def _support(found: Sequence[Found]) -> float:
    return sum(len(places) * weight for _, places, weight in found)


def _is_whole(known: Sequence[Sequence[Range]], length: int) -> bool:
    """Whether no source has so many places that a sample is taken."""
    return all(is_whole(ranges[length - 1]) for ranges in known if len(ranges) >= length)


def _live_places(source: LiveSegment, found: Range, own_end: int) -> tuple[IntArray, float]:
    places, weight = source.segment.places(found)
    if source.segment.paths[0] == _OWN:
        return places[places < source.segment.starts[0] + own_end], weight
    return source.living(places), weight

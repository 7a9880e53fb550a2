"""What one request asks of the exact memory: the longest match of its last tokens, and what followed.

Owns the target file's share: what the index knows of it does not count, only its tokens up to the cursor
do, so nothing after the cursor is ever proposed. Implements `model.exact_memory.ExactMemory`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice

import numpy as np

from indexer.followers import Followers, Found
from indexer.kin_search import KinSearch, Source, Standing
from indexer.kinship import WINDOW
from indexer.suffix_index import LiveSegment, SuffixSnapshot
from indexer.suffix_segment import ORDER, Range, build_segment, is_whole, n_places
from model.exact_memory import Kin, Match, TrackRecord
from model.protocols import IntArray

MOST_OWN_TOKENS = 16_384
MOST_CANDIDATES = 8
MOST_MATCHES = 3
OWN = ""
"""Stands for the target file up to the cursor; no source comes before it."""
NO_RECORD = TrackRecord()


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
        self._sources = [part.without(excluded_path) for part in snapshot.segments]
        own = np.asarray(own_ids[-MOST_OWN_TOKENS:], dtype=np.int64)
        segment = build_segment([(OWN, own)]) if len(own) else None
        if segment is not None:
            self._sources.insert(0, LiveSegment(segment, np.ones(1, dtype=bool)))
        self._followers = Followers(excluded_path, snapshot.files, segment)
        self._last: tuple[tuple[int, ...], list[list[Range]]] = ((), [])
        self._kin = KinSearch([Source(source, _end_of(source)) for source in self._sources])

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        """The longest known suffix, then shorter ones, each at twice as many places as the one before."""
        found = list(islice(self._found(context, MOST_OWN_TOKENS), MOST_MATCHES))
        return self._followers.matches(found, MOST_CANDIDATES)

    def kin(self, context: Sequence[int]) -> tuple[Kin, ...]:
        """What followed where the surroundings are like those of `context`, the likest first."""
        return self._kin.kin(context, self._ranges(context))

    def likest(self, context: Sequence[int], most: int) -> tuple[Standing, ...]:
        """Where in other files one stands as after `context`, the likest first."""
        known = self._ranges(context)
        found = self._kin.likest(context, known, 2 * most)  # the open file's own places are among them
        return tuple(standing for standing in found if standing.segment.paths[0] != OWN)[:most]

    def guess_at(self, place: int) -> tuple[int, int] | None:
        """What the memory would have said of the own token at `place`, knowing only those before it.

        The length of the match, and the token named; None where nothing matches.
        """
        own = self._sources[0].segment.tokens_of(0)
        context = own[max(0, place - ORDER) : place].astype(np.int64).tolist()
        longest = next(self._found(context, place), None)
        return None if longest is None else (longest[0], self._followers.likeliest(longest[1]))

    def _found(self, context: Sequence[int], own_end: int) -> Iterator[tuple[int, list[Found]]]:
        """The lengths of the matches, longest first, and where the sources have them; of the open file only
        the first `own_end` tokens count.
        """
        known, least = self._ranges(context), 1.0

        @cache
        def found(length: int) -> list[Found]:
            return self._found_after(known, length, own_end)

        length = max(map(len, known), default=0)
        while length := _longest(known, found, length, least):
            yield length, found(length)
            least = 2 * _support(found(length))
            length -= 1

    def _found_after(self, known: Sequence[Sequence[Range]], length: int, own_end: int) -> list[Found]:
        """Where the sources have the last `length` tokens: those that do."""
        found = [
            (number, *_live_places(self._sources[number], ranges[length - 1], own_end))
            for number, ranges in enumerate(known)
            if len(ranges) >= length
        ]
        return [one for one in found if len(one[1])]

    def _ranges(self, context: Sequence[int]) -> list[list[Range]]:
        """Of each source; the last answer is kept, since drafts and choice ask for the same words."""
        words = tuple(context[-ORDER:])
        if self._last[0] != words or not words:
            self._last = (words, [source.segment.ranges(words) for source in self._sources])
        return self._last[1]


def _end_of(source: LiveSegment) -> int:
    """Of the places that may be kin: the open file's last words resemble themselves."""
    n_stored = len(source.segment.stored)
    return n_stored - WINDOW if source.segment.paths[0] == OWN else n_stored


def _longest(
    known: Sequence[Sequence[Range]], found: Callable[[int], Sequence[Found]], most: int, least: float
) -> int:
    """The longest match of up to `most` tokens that has so much support; 0: none.

    A longer one's places are among a shorter one's, so that half of the lengths are left out at a time
    while all places are looked at, not a sample. The open file's copy in the index, which does not count,
    matches at every length.
    """

    def has_less(length: int) -> bool:
        return _support(found(length)) < least

    while most and n_places(known, most) < least:
        most -= 1
    if not most or not has_less(most):
        return most
    first_whole = bisect_left(range(1, most + 1), x=True, key=lambda length: _is_whole(known, length)) + 1
    longest = first_whole - 1 + bisect_left(range(first_whole, most + 1), x=True, key=has_less)
    while longest and longest < first_whole and has_less(longest):
        longest -= 1
    return longest


def _support(found: Sequence[Found]) -> float:
    return sum(len(places) * weight for _, places, weight in found)


def _is_whole(known: Sequence[Sequence[Range]], length: int) -> bool:
    """Whether no source has so many places that a sample is taken."""
    return all(is_whole(ranges[length - 1]) for ranges in known if len(ranges) >= length)


def _live_places(source: LiveSegment, found: Range, own_end: int) -> tuple[IntArray, float]:
    places, weight = source.segment.places(found)
    if source.segment.paths[0] == OWN:
        return places[places < source.segment.starts[0] + own_end], weight
    return source.living(places), weight

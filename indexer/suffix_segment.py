"""A segment of the exact memory: some files' tokens, sorted by what stands before each.

Owns one immutable suffix array, its building and its searching. Which files are in which segment is
`indexer.suffix_index`.

`stored` holds every token plus one, with a zero before each file, so that no context reaches across
files. `order` lists the places of tokens sorted by the tokens before them, nearest first, `ORDER` deep:
all places that follow the same words stand together, and a longer context is a range within the range of
a shorter one. 2 + 4 bytes a token (4 + 4 for vocabularies over 65,534); building takes some 55 more while
it lasts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from operator import eq

import numpy as np
from numpy.typing import NDArray

from model.protocols import BoolArray, IntArray

ORDER = 16
"""Tokens of context by which places are sorted; a longer match is as certain as this one."""
MOST_AHEAD = 12
"""Tokens of what followed that are handed out for drafting."""
SAMPLE = 2048
"""Of a larger range, so many places are looked at, evenly spaced."""

WORD = 64
"""Bits of a number, one of them the sign."""

Tokens = NDArray[np.uint16] | NDArray[np.uint32]
Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Segment:
    """`starts[i]` is where file `paths[i]` begins in `stored`; files follow each other."""

    stored: Tokens
    order: NDArray[np.uint32]
    starts: IntArray
    paths: tuple[str, ...]

    @property
    def n_tokens(self) -> int:
        return len(self.order)

    @property
    def n_bytes(self) -> int:
        return self.stored.nbytes + self.order.nbytes + self.starts.nbytes

    @cached_property
    def counts(self) -> NDArray[np.int32]:
        """How often each token stands here, as far as the largest; 20 ms for 10 million tokens, once."""
        return np.bincount(self.stored, minlength=1)[1:].astype(np.int32)

    def file_of(self, places: IntArray) -> IntArray:
        """The numbers of the files that `places` lie in."""
        found: IntArray = self.starts.searchsorted(places, side="right") - 1
        return found

    def tokens_of(self, number: int) -> Tokens:
        """A file's tokens."""
        end = self.starts[number + 1] - 1 if number + 1 < len(self.starts) else len(self.stored)
        return self.stored[self.starts[number] : end] - 1

    @cached_property
    def begins(self) -> IntArray:
        """Where in `order` the places after each stored token begin, and after the last one's."""
        ends = np.append(self.starts[1:] - 2, len(self.stored) - 1)
        n_followed = np.concatenate([[len(self.starts)], self.counts])
        n_followed -= np.bincount(self.stored[ends], minlength=len(n_followed))
        begins: IntArray = np.concatenate([[0], np.cumsum(n_followed)])
        return begins

    def ranges(self, context: Sequence[int]) -> list[Range]:
        """Of `order`: those of the last 1, 2, ... tokens of `context`, as deep as there is any place."""
        words = [token + 1 for token in reversed(context[-ORDER:])]
        if not words or words[0] + 1 >= len(self.begins):
            return []
        low, high = int(self.begins[words[0]]), int(self.begins[words[0] + 1])
        ranges: list[Range] = []
        while low < high:
            ranges.append((low, high))
            depth = len(ranges)
            if high - low == 1:
                return ranges + [(low, high)] * self._n_same(int(self.order[low]), words, depth)
            if depth == len(words):
                break
            low, high = self._narrowed(low, high, words[depth], depth + 1)
        return ranges

    def _narrowed(self, low: int, high: int, wanted: int, depth: int) -> Range:
        """The part of a range where `wanted` is the word `depth` places before."""
        stored, order = self.stored, self.order

        def before(place: int) -> int:
            return int(stored[int(order[place]) - depth])

        if before(low) == wanted == before(high - 1):  # copies go on alike
            return low, high
        low = bisect_left(range(high), wanted, low, high, key=before)
        return low, bisect_right(range(high), wanted, low, high, key=before)

    def _n_same(self, place: int, words: Sequence[int], depth: int) -> int:
        """How many of `words` from `depth` on stand before `place`, going back."""
        before = self.stored[place - len(words) : place - depth].tolist()
        return sum(1 for _ in takewhile(bool, map(eq, reversed(before), words[depth:])))

    def places(self, found: Range) -> tuple[IntArray, float]:
        """The places of a range, or an even sample of them, and for how many each stands."""
        low, high = found
        n = high - low
        if is_whole(found):
            return self.order[low:high].astype(np.int64), 1.0
        picked = low + np.arange(SAMPLE) * n // SAMPLE
        return self.order[picked].astype(np.int64), n / SAMPLE

    def ahead(self, place: int) -> tuple[int, ...]:
        """The tokens from a place on, at most `MOST_AHEAD` and to the end of its file."""
        ahead = takewhile(bool, self.stored[place : place + MOST_AHEAD].tolist())
        return tuple(token - 1 for token in ahead)


def begins_anew(ordered: NDArray[np.integer]) -> BoolArray:
    """Which numbers of an order, ``[n]``, are others than the one before."""
    anew = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=anew[1:])
    return anew


def grouped(tokens: Tokens) -> tuple[IntArray, IntArray]:
    """The numbers of some tokens so that the same ones stand together, in order; where each of these groups
    begins, and where the last one ends.
    """
    by_token = tokens.argsort(kind="stable")
    begins = np.flatnonzero(begins_anew(tokens.take(by_token)))
    return by_token, np.append(begins, len(tokens))


def is_whole(found: Range) -> bool:
    """Whether all its places are looked at."""
    low, high = found
    return high - low <= SAMPLE


def n_places(known: Sequence[Sequence[Range]], length: int) -> int:
    """How many places follow the last `length` tokens; `known` are the ranges of some segments."""
    ranges = (ranges[length - 1] for ranges in known if len(ranges) >= length)
    return sum(high - low for low, high in ranges)


def build_segment(files: Sequence[tuple[str, IntArray]]) -> Segment:
    """Sorts the tokens of `files`, ranks doubled from 1 to `ORDER` tokens of context."""
    widest = max((int(ids.max()) for _, ids in files if len(ids)), default=0)
    kind = np.uint16 if widest < 2**16 - 1 else np.uint32
    # Zeros in front too, so that looking back from the first token stays in the array.
    parts: list[NDArray[np.unsignedinteger]] = [np.zeros(ORDER, kind)]
    starts, place = [], ORDER
    for _, ids in files:
        parts += [(np.asarray(ids) + 1).astype(kind), np.zeros(1, kind)]
        starts.append(place)
        place += len(ids) + 1
    stored = np.concatenate(parts)[: place - 1 if files else place]
    return Segment(
        stored, _sorted_places(stored), np.array(starts, dtype=np.int64), tuple(path for path, _ in files)
    )


def _sorted_places(stored: NDArray[np.unsignedinteger]) -> NDArray[np.uint32]:
    rank = np.zeros(len(stored), dtype=np.int64)
    rank[1:] = stored[:-1]
    order, depth = rank[:0], 1
    while depth < ORDER and len(stored):
        further = np.zeros_like(rank)
        further[depth:] = rank[:-depth]
        order, anew = _ordered(rank, further)
        rank[order] = anew.cumsum() - 1
        depth *= 2
    return order[stored[order] > 0].astype(np.uint32)


def _ordered(ranks: IntArray, further: IntArray) -> tuple[IntArray, BoolArray]:
    """The order of some pairs of numbers, the same ones by their places, and which are others than before.

    With its place behind it in one number a pair is sorted in a tenth of the time that `argsort` takes;
    from some two million on, the first and the second numbers each with theirs, one after the other.
    """
    widths = [int(numbers.max()).bit_length() for numbers in (ranks, further)]
    if sum(widths) + len(ranks).bit_length() < WORD:
        order, ordered = _sorted_with_places((ranks << widths[1]) | further)
        return order, begins_anew(ordered)
    order = _sorted_with_places(further)[0]
    by_rank, ordered = _sorted_with_places(ranks[order])
    order = order[by_rank]
    return order, begins_anew(ordered) | begins_anew(further[order])


def _sorted_with_places(numbers: IntArray) -> tuple[IntArray, IntArray]:
    """The order of some numbers, and these in order."""
    n_bits = len(numbers).bit_length()
    packed = numbers << n_bits
    packed |= np.arange(len(numbers))
    packed.sort()
    order: IntArray = packed & ((1 << n_bits) - 1)
    packed >>= n_bits
    return order, packed

"""The keys and values of an open file's tokens, read before anybody asks about them.

Owns which tokens of the text were read, what stays of that after an edit, and which positions of a prompt
they can stand at. A pair depends on what stood before its token: here the file itself, in a prompt also
what is told of the repository, which pairs that are taken from here have not seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.protocols import BoolArray, IntArray
from model.readings.matching import stretches_in
from model.runtime.pairs import Pairs

PIECE = 128
"""Tokens that are read in one go."""
SHORTEST_STRETCH = 32
"""Positions in a row for which what stands before them is read by itself: a pass has costs of its own, on a
CPU as much as some 24 rows."""
MOST_CUT_OTHERWISE = 4
"""Where a prompt's window begins, so many tokens may be cut otherwise than within the text."""


@dataclass(frozen=True, eq=False)
class Run:
    """Positions ``[begin, end)`` of a prompt, and the pairs that stand there, in parts.

    Without parts they are yet to be lifted, from `source` on in the cache.
    """

    begin: int
    end: int
    parts: tuple[Pairs, ...] = ()
    source: int = 0

    def parts_from(self, position: int) -> tuple[Pairs, ...]:
        """What stands at `position` and behind it."""
        left, n_before = list[Pairs](), position - self.begin
        for part in self.parts:
            if n_before < len(part):
                left.append(part.between(max(0, n_before), len(part)))
            n_before -= len(part)
        return tuple(left)

    def within(self, begin: int, end: int) -> Run | None:
        """What of it lies in ``[begin, end)``."""
        first, last = max(begin, self.begin), min(end, self.end)
        if first >= last:
            return None
        n_left, parts = last - first, list[Pairs]()
        for part in self.parts_from(first):
            parts.append(part.between(0, n_left))
            n_left -= len(parts[-1])
        kept = tuple(part for part in parts if len(part))
        return Run(first, last, kept, self.source + first - self.begin)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Pairs of the tokens from `begin` on."""

    begin: int
    ids: IntArray
    pairs: Pairs

    @property
    def end(self) -> int:
        return self.begin + len(self.ids)


class Reading:
    """One text. Invariant: pieces stand in the text's order, do not overlap, and are of its tokens."""

    def __init__(self) -> None:
        self._ids: IntArray = np.empty(0, dtype=np.int64)
        self._n_head = 0
        self._pieces: list[_Piece] = []

    @property
    def n_read(self) -> int:
        """Tokens whose pairs are kept."""
        return sum(len(piece.ids) for piece in self._pieces)

    def follow(self, token_ids: Sequence[int], n_head: int = 0) -> None:
        """The text is these tokens now; of what was read, the pieces stay that stand in it as they are.

        The first `n_head` are no part of the file, and may stand in a prompt without the rest behind them.
        """
        ids = np.asarray(token_ids, dtype=np.int64)
        self._n_head = n_head
        if np.array_equal(ids, self._ids):
            return
        n_more, kept, end = len(ids) - len(self._ids), list[_Piece](), 0
        for piece in self._pieces:
            begin = _place_of(piece.ids, ids, end, (piece.begin, piece.begin + n_more))
            if begin is not None:
                kept.append(_Piece(begin, piece.ids, piece.pairs))
                end = kept[-1].end
        self._ids, self._pieces = ids, kept

    def keep(self, begin: int, end: int) -> None:
        """Drops the pieces that lie outside these tokens."""
        self._pieces = [piece for piece in self._pieces if piece.end > begin and piece.begin < end]

    def unread(self, begin: int, end: int) -> tuple[int, int] | None:
        """The first tokens of ``[begin, end)`` that were not read, at most `PIECE`; None where all were."""
        end = min(end, len(self._ids))
        for piece in self._pieces:
            if piece.begin > begin:
                end = min(end, piece.begin)
                break
            begin = max(begin, piece.end)
        return (begin, min(end, begin + PIECE)) if begin < end else None

    def tokens(self, begin: int, end: int) -> list[int]:
        found: list[int] = self._ids[begin:end].tolist()
        return found

    def put(self, begin: int, pairs: Pairs) -> None:
        """Those of tokens that `unread` named."""
        piece = _Piece(begin, self._ids[begin : begin + len(pairs)], pairs)
        place = bisect_right(self._pieces, begin, key=lambda one: one.begin)
        self._pieces.insert(place, piece)

    def parts(self, begin: int, end: int) -> tuple[Pairs, ...]:
        """The pairs of ``[begin, end)``, where all was read; none where some was not."""
        parts, place = list[Pairs](), begin
        for piece in self._pieces:
            if piece.begin <= place < min(end, piece.end):
                last = min(end, piece.end)
                parts.append(piece.pairs.between(place - piece.begin, last - piece.begin))
                place = last
        return tuple(parts) if place == end else ()

    def parts_before(self, end: int, most: int) -> tuple[Pairs, ...]:
        """Those of the last tokens before `end`, at most so many, that were read without a gap."""
        begin = end
        for piece in reversed(self._pieces):
            if piece.begin < begin:
                if piece.end < begin:
                    break
                begin = piece.begin
        return self.parts(max(begin, end - most), end)

    def runs_in(self, keys: Sequence[int], begin: int, end: int) -> tuple[Run, ...]:
        """The positions ``[begin, end)`` of a prompt of `keys` that hold tokens of the text as it was read.

        Before a run, as many as `MOST_CUT_OTHERWISE` others count as its own: the text's tokens there end at
        the same character.
        """
        wanted = np.asarray(keys[begin:end], dtype=np.int64)
        places = self._places(wanted)
        runs, at = list[Run](), 0
        while at < len(places):
            stop = at + 1
            if places[at] >= 0:
                while stop < len(places) and places[stop] == places[stop - 1] + 1:
                    stop += 1
                parts = self.parts(int(places[at]), int(places[stop - 1]) + 1)
                if parts:
                    runs.append(Run(begin + at, begin + stop, parts))
            at = stop
        return worth_standing(runs, begin)

    def _places(self, wanted: IntArray) -> IntArray:
        """The token of the text that stands for each of `wanted`, -1 where none does."""
        is_read = self._is_read()
        places = np.full(len(wanted), -1, dtype=np.int64)
        begins = {0, *self._heads_in(wanted)}  # a prompt begins as the text does, with the path
        for at, end, first in stretches_in(wanted, self._ids, is_read, begins):
            places[at:end] = np.arange(first, first + end - at)
            _fill_before(places, at, first, is_read)
        return places

    def _heads_in(self, wanted: IntArray) -> frozenset[int]:
        """Where the whole head stands."""
        n_head = self._n_head
        if not n_head or n_head > min(len(wanted), len(self._ids)):
            return frozenset()
        stretches = np.lib.stride_tricks.sliding_window_view(wanted, n_head)
        return frozenset(np.flatnonzero((stretches == self._ids[:n_head]).all(axis=1)).tolist())

    def _is_read(self) -> BoolArray:
        is_read = np.zeros(len(self._ids), dtype=np.bool_)
        for piece in self._pieces:
            is_read[piece.begin : piece.end] = True
        return is_read


def worth_standing(runs: Sequence[Run], begin: int) -> tuple[Run, ...]:
    """Those that save more than it costs to read what stands before them; in order, after `begin`."""
    return tuple(run for stretch in _stretches(runs) if _is_worth(stretch, begin) for run in stretch)


def _stretches(runs: Sequence[Run]) -> list[list[Run]]:
    """Those that follow each other without a gap stand together."""
    stretches = list[list[Run]]()
    for run in runs:
        if stretches and stretches[-1][-1].end == run.begin:
            stretches[-1].append(run)
        else:
            stretches.append([run])
    return stretches


def _is_worth(stretch: Sequence[Run], begin: int) -> bool:
    """Whether it saves more than it costs to read what stands before it by itself."""
    return stretch[0].begin == begin or stretch[-1].end - stretch[0].begin >= SHORTEST_STRETCH


def _place_of(part: IntArray, ids: IntArray, least: int, guesses: tuple[int, ...]) -> int | None:
    """Where `part` stands in `ids`, not before `least`: at a guess, or at the first place."""
    for guess in guesses:
        if guess >= least and np.array_equal(ids[guess : guess + len(part)], part):
            return guess
    for found in np.flatnonzero(ids[least:] == part[0]) + least:
        if np.array_equal(ids[found : found + len(part)], part):
            return int(found)
    return None


def _fill_before(places: IntArray, at: int, first: int, is_read: BoolArray) -> None:
    """Gives the few positions that are left before `at` to the tokens before `first`."""
    n_left = 0
    while n_left < at and places[at - 1 - n_left] < 0:
        n_left += 1
    if 0 < n_left <= min(MOST_CUT_OTHERWISE, first) and is_read[first - n_left : first].all():
        places[at - n_left : at] = np.arange(first - n_left, first)

"""What followed in the exact memory where the surroundings are like the cursor's, though not to the letter.

Owns the choice of the places that are compared, and their ranking. How alike two places are is
`indexer.kinship`, what stands where the sources' segments'. One request's thread.

A suffix match ends at the first word that was renamed or added, and where several places match alike it
cannot choose. Code that was copied and changed goes on as its origin does all the same: what tells is the
lines before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.kinship import WINDOW, Likeness, Surroundings, windows_before
from indexer.suffix_index import LiveSegment
from indexer.suffix_segment import Range, Segment, Tokens, begins_anew, grouped, n_places
from model.exact_memory import Kin
from model.protocols import FloatArray, IntArray

MOST_PLACES = 256
"""Places of a source that are compared for what stands right before them, and as many for rare words."""
MOST_KIN = 8
RARE = 16
"""A word that stands so often at most in a segment tells where in another file one is."""
MOST_RARE = 8
"""Rare words that are followed, from the cursor back."""
SHARPNESS = 12.0
"""Of the vote: a place that is alike by a tenth more counts for three."""

_NEAR_LEVEL = np.arange(-8, 9)
"""Words by which another file may have grown or shrunk since the rare word."""
_NOWHERE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Source:
    """A segment to search. `end` is the first place that is out of it: the open file's own last words are."""

    live: LiveSegment
    end: int

    @property
    def stored(self) -> IntArray:
        """The tokens plus one, zero between files."""
        stored: IntArray = self.live.segment.stored  # type: ignore[assignment]
        return stored

    def usable(self, places: IntArray) -> IntArray:
        """Those of live files that have a token after them."""
        places = places[places < min(self.end, len(self.stored))]
        places = places[self.stored[places] > 0]
        return self.live.living(places)


@dataclass(frozen=True, eq=False)
class Standing:
    """A place of a segment: `alike` is the mean of its cover and its alignment, 0 to 1."""

    segment: Segment
    place: int
    alike: float


@dataclass(frozen=True, eq=False)
class _Compared:
    """Places, all ``[n]``: the token at each, plus one, and the number of the source that it lies in."""

    tokens: Tokens
    likeness: Likeness
    sources: IntArray
    places: IntArray


@dataclass(frozen=True)
class _Word:
    """How often it stands in each source; its weight, 1 if it stands nowhere, less for the usual ones."""

    token: int
    counts: Sequence[int]
    rarity: float


class KinSearch:
    """Over the sources of one request; keeps what it knows of words from token to token."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._stands: dict[tuple[int, int], IntArray] = {}
        self._words: dict[int, _Word] = {}
        self._n_tokens = sum(source.live.segment.n_tokens for source in sources)

    def kin(self, context: Sequence[int], known: Sequence[Sequence[Range]]) -> tuple[Kin, ...]:
        """What followed, the likest first; `known` are each source's ranges of the last 1, 2, ... words.

        Compared are the places after the fewest last words that are known at few enough places, and those
        where the cursor would stand if a rare word before it stood at the same distance.
        """
        compared = self._compared(context, known)
        return () if compared is None else self._ranked(compared)

    def likest(
        self, context: Sequence[int], known: Sequence[Sequence[Range]], most: int
    ) -> tuple[Standing, ...]:
        """The places themselves, the likest first."""
        compared = self._compared(context, known)
        if compared is None:
            return ()
        alike = compared.likeness.both
        return tuple(
            Standing(
                self._sources[compared.sources[n]].live.segment, int(compared.places[n]), float(alike[n]) / 2
            )
            for n in np.argsort(-alike, kind="stable")[:most].tolist()
        )

    def _compared(self, context: Sequence[int], known: Sequence[Sequence[Range]]) -> _Compared | None:
        words = [self._word(token) for token in context[-WINDOW:]]
        places = self._places(words, known) if words else []
        if not any(map(len, places)):
            return None
        pairs = list(zip(self._sources, places, strict=True))
        windows = np.concatenate(
            [windows_before(source.live.segment, some, len(words)) for source, some in pairs]
        )
        surroundings = Surroundings([word.token for word in words], [word.rarity for word in words])
        return _Compared(
            tokens=np.concatenate([source.stored.take(some) for source, some in pairs]),
            likeness=surroundings.likeness(windows),
            sources=np.repeat(np.arange(len(places)), [len(some) for some in places]),
            places=np.concatenate(places),
        )

    def _ranked(self, compared: _Compared) -> tuple[Kin, ...]:
        """By the votes of the places."""
        by_token, edges = grouped(compared.tokens)

        def of_groups(gather: np.ufunc, values: FloatArray) -> FloatArray:
            gathered: FloatArray = gather.reduceat(values.take(by_token), edges[:-1])
            return gathered

        likeness = compared.likeness
        weight = np.exp(SHARPNESS * (likeness.both - 2.0), dtype=np.float64)
        votes = of_groups(np.add, weight)
        cover, aligned, deep = (
            of_groups(np.maximum, part) for part in (likeness.cover, likeness.aligned, likeness.deep)
        )
        total, kin = float(votes.sum()), list[Kin]()
        for group in (-votes).argsort(kind="stable")[:MOST_KIN].tolist():
            own = by_token[edges[group] : edges[group + 1]]
            top = own[weight[own].argmax()]
            source = self._sources[compared.sources[top]].live.segment
            kin.append(
                Kin(
                    int(compared.tokens[top]) - 1,
                    cover=float(cover[group]),
                    aligned=float(aligned[group]),
                    deep=float(deep[group]),
                    vote=float(votes[group]) / total,
                    ahead=() if kin else source.ahead(int(compared.places[top])),
                )
            )
        return tuple(kin)

    def _places(self, words: Sequence[_Word], known: Sequence[Sequence[Range]]) -> list[IntArray]:
        """Those to compare, of each source."""
        length = _length_compared(known)
        found = []
        for number, (source, ranges) in enumerate(zip(self._sources, known, strict=True)):
            after, segment = _NOWHERE, source.live.segment
            if 0 < length <= len(ranges):
                after = segment.places(ranges[length - 1])[0]
                if len(after) > MOST_PLACES:
                    after = after[np.arange(MOST_PLACES) * len(after) // MOST_PLACES]
            level = self._level_with(number, words)
            found.append(source.usable(_once(after, level)[: 2 * MOST_PLACES]))
        return found

    def _level_with(self, number: int, words: Sequence[_Word]) -> IntArray:
        """Where the cursor would stand in a source, by its distance to the nearest rare words before it."""
        level: list[IntArray] = []
        for after, word in enumerate(reversed(words)):  # words between the rare one and the cursor
            if 0 < word.counts[number] <= RARE:
                level.append(self._standing(number, word.token) + after)
                if len(level) == MOST_RARE:
                    break
        if not level:
            return _NOWHERE
        stored = self._sources[number].stored
        wanted = (_once(*level)[:, None] + _NEAR_LEVEL).ravel()
        wanted = wanted[wanted < len(stored)]
        found: IntArray = wanted[stored.take(wanted - 1) == words[-1].token + 1]
        return found

    def _standing(self, number: int, token: int) -> IntArray:
        """The places after a token that stands in a source."""
        key = (number, token)
        if key not in self._stands:
            segment = self._sources[number].live.segment
            ranges = segment.ranges((token,))  # none for one that only ends files
            self._stands[key] = segment.places(ranges[0])[0] if ranges else _NOWHERE
        return self._stands[key]

    def _word(self, token: int) -> _Word:
        if token not in self._words:
            segments = [source.live.segment for source in self._sources]
            counts = [int(one.counts[token]) if token < len(one.counts) else 0 for one in segments]
            most = 2.0 + self._n_tokens
            rarity = math.log2(most / (1.0 + sum(counts))) / math.log2(most)
            self._words[token] = _Word(token, counts, rarity)
        return self._words[token]


def _once(*places: IntArray) -> IntArray:
    """All of them in order, none twice."""
    ordered = np.concatenate(places)
    ordered.sort()
    once: IntArray = ordered[begins_anew(ordered)]
    return once


def _length_compared(known: Sequence[Sequence[Range]]) -> int:
    """The shortest suffix known at no more than `MOST_PLACES`, else the longest known; 0 for none."""
    deepest = max(map(len, known), default=0)
    for length in range(1, deepest):
        if n_places(known, length) <= MOST_PLACES:
            return length
    return deepest

"""What followed in the exact memory where the surroundings are like the cursor's, though not to the letter.

Owns the choice of the places that are compared, and their ranking. How alike two places are is
`indexer.kinship`, what stands where the sources' segments'. One request's thread.

A suffix match ends at the first word that was renamed or added, and where several places match alike it
cannot choose. Code that was copied and changed goes on as its origin does all the same: what tells is the
lines before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.kinship import WINDOW, Likeness, Surroundings
from indexer.suffix_index import LiveSegment
from indexer.suffix_segment import Range, Segment, n_places
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
    """Places, all ``[n]``: the token at each, and the number of the source that it lies in."""

    tokens: IntArray
    likeness: Likeness
    sources: IntArray
    places: IntArray


class KinSearch:
    """Over the sources of one request; keeps where rare words stand from token to token."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._stands: dict[tuple[int, int], IntArray] = {}

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
        window = np.asarray(context[-WINDOW:], dtype=np.int64)
        places = self._places(window, known) if len(window) else []
        if not any(map(len, places)):
            return None
        surroundings = Surroundings(window, self._rarity(window))
        pairs = list(zip(self._sources, places, strict=True))
        return _Compared(
            tokens=np.concatenate([source.stored[some] for source, some in pairs]).astype(np.int64) - 1,
            likeness=Likeness.joined(
                [surroundings.likeness(source.live.segment, some) for source, some in pairs]
            ),
            sources=np.repeat(np.arange(len(places)), [len(some) for some in places]),
            places=np.concatenate(places),
        )

    def _ranked(self, compared: _Compared) -> tuple[Kin, ...]:
        """By the votes of the places."""
        tokens, likeness = compared.tokens, compared.likeness
        sources, places = compared.sources, compared.places
        weight = np.exp(SHARPNESS * (likeness.both - 2.0))
        named, of = np.unique(tokens, return_inverse=True)
        votes = np.bincount(of, weights=weight)
        kin: list[Kin] = []
        total = float(votes.sum())
        for number in np.argsort(-votes, kind="stable")[:MOST_KIN].tolist():
            own = np.flatnonzero(of == number)
            top = own[np.argmax(weight[own])]
            source = self._sources[sources[top]].live.segment
            kin.append(
                Kin(
                    int(named[number]),
                    cover=float(likeness.cover[own].max()),
                    aligned=float(likeness.aligned[own].max()),
                    deep=float(likeness.deep[own].max()),
                    vote=float(votes[number]) / total,
                    ahead=() if kin else source.ahead(int(places[top])),
                )
            )
        return tuple(kin)

    def _places(self, window: IntArray, known: Sequence[Sequence[Range]]) -> list[IntArray]:
        """Those to compare, of each source."""
        length = _length_compared(known)
        found = []
        for number, (source, ranges) in enumerate(zip(self._sources, known, strict=True)):
            after, segment = _NOWHERE, source.live.segment
            if 0 < length <= len(ranges):
                after = segment.places(ranges[length - 1])[0]
                if len(after) > MOST_PLACES:
                    after = after[np.arange(MOST_PLACES) * len(after) // MOST_PLACES]
            level = self._level_with(number, window)
            found.append(source.usable(np.unique(np.concatenate([after, level]))[: 2 * MOST_PLACES]))
        return found

    def _level_with(self, number: int, window: IntArray) -> IntArray:
        """Where the cursor would stand in a source, by its distance to the nearest rare words before it."""
        counts = self._counts(number, window)
        rare = np.flatnonzero((counts > 0) & (counts <= RARE))[-MOST_RARE:]
        if not len(rare):
            return _NOWHERE
        after = len(window) - 1 - rare  # words between the rare one and the cursor
        level = [self._standing(number, int(window[at])) + n for at, n in zip(rare, after, strict=True)]
        stored = self._sources[number].stored
        wanted = (np.concatenate(level)[:, None] + _NEAR_LEVEL).ravel()
        wanted = wanted[wanted < len(stored)]
        found: IntArray = wanted[stored[wanted - 1] == window[-1] + 1]
        return found

    def _standing(self, number: int, token: int) -> IntArray:
        """The places after a token that stands in a source."""
        key = (number, token)
        if key not in self._stands:
            segment = self._sources[number].live.segment
            ranges = segment.ranges((token,))  # none for one that only ends files
            self._stands[key] = segment.places(ranges[0])[0] if ranges else _NOWHERE
        return self._stands[key]

    def _counts(self, number: int, tokens: IntArray) -> IntArray:
        """How often each token stands in a source."""
        known = self._sources[number].live.segment.counts
        counts: IntArray = np.where(tokens < len(known), known[np.minimum(tokens, len(known) - 1)], 0)
        return counts

    def _rarity(self, tokens: IntArray) -> FloatArray:
        """The weight of each token: 1 for one that stands nowhere, less for the usual ones."""
        counts = sum((self._counts(number, tokens) for number in range(len(self._sources))), np.zeros(1))
        total = 1.0 + sum(source.live.segment.n_tokens for source in self._sources)
        bits = np.log2((1.0 + total) / (1.0 + counts))
        rarity: FloatArray = (bits / np.log2(1.0 + total)).astype(np.float32)
        return rarity


def _length_compared(known: Sequence[Sequence[Range]]) -> int:
    """The shortest suffix known at no more than `MOST_PLACES`, else the longest known; 0 for none."""
    deepest = max(map(len, known), default=0)
    for length in range(1, deepest):
        if n_places(known, length) <= MOST_PLACES:
            return length
    return deepest

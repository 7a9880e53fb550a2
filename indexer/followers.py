"""What followed the last words where they stood before: which tokens, how often, and how near.

Owns the way from places to the candidates of matches. Which places a match has is `indexer.suffix_session`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

import numpy as np
from numpy.typing import NDArray

from indexer.numbered_files import NumberedFiles
from indexer.suffix_segment import Segment, Tokens, begins_anew, grouped
from model.exact_memory import Candidate, Match
from model.protocols import IntArray

MOST_COMPARED = 8
"""Places of a candidate in each source whose nearness is compared."""
Floats = NDArray[np.float64]
Found = tuple[int, IntArray, float]
"""Places of a source, whose number this is, and for how many each stands."""


@dataclass(frozen=True, eq=False)
class _Said:
    """What stands at the places of some matches, all ``[n]``: a match's together, in it a token's, in these
    a source's. `matches` are numbers, `tokens` plus one.
    """

    matches: NDArray[np.uint8]
    tokens: Tokens
    places: IntArray
    weights: Floats


class Followers:
    """In numbered files, those of segments that do not change, and in the open file, of which `own` is what
    stands before the cursor; as seen from the file `path`.

    What is asked of all sources, and for all matches, is one question to numpy here: with few places it is
    the number of questions that takes time.
    """

    def __init__(self, path: str, files: NumberedFiles, own: Segment | None) -> None:
        self._files = files
        self._nearness = files.nearness_to(path)
        self._end = int(files.bases[-1])
        self._segments = [*files.segments] if own is None else [own, *files.segments]
        bases: list[int] = files.bases[:-1].tolist()
        self._bases = bases if own is None else [self._end, *bases]
        """Of the sources as they are numbered: the open file first, whose places come after all others'."""

    def matches(self, found: Sequence[tuple[int, Sequence[Found]]], most: int) -> tuple[Match, ...]:
        """What followed the last so many words at these places; `most` candidates of each match at most."""
        if not found:
            return ()
        said = self._said([some for _, some in found])
        begins = (begins_anew(said.tokens) | begins_anew(said.matches)).nonzero()[0]
        counts, matches = np.add.reduceat(said.weights, begins), said.matches.take(begins)
        firsts = matches.searchsorted(np.arange(len(found)))
        by_count = np.lexsort((-counts, matches))
        best = by_count[np.arange(len(counts)) - firsts.take(matches) < most]
        cuts = matches.take(best).searchsorted(np.arange(len(found) + 1)).tolist()
        candidates = self._candidates(said, np.append(begins, len(said.tokens)), best, counts, cuts)
        supports = np.add.reduceat(counts, firsts).tolist()
        return tuple(
            Match(length, round(support), tuple(candidates[begin:end]))
            for (length, _), support, (begin, end) in zip(found, supports, pairwise(cuts), strict=True)
        )

    def likeliest(self, found: Sequence[Found]) -> int:
        """The token that stands at most of these places."""
        tokens, weights = self._tokens(found)
        by_token, edges = grouped(tokens)
        counts = np.add.reduceat(weights.take(by_token), edges[:-1])
        return int(tokens[by_token[edges[counts.argmax()]]]) - 1

    def _tokens(self, found: Sequence[Found]) -> tuple[Tokens, Floats]:
        """What stands at some places, plus one, and for how many each stands."""
        tokens = np.concatenate([self._segments[number].stored.take(places) for number, places, _ in found])
        weights = np.array([weight for *_, weight in found])
        return tokens, weights.repeat([len(places) for _, places, _ in found])

    def _said(self, found: Sequence[Sequence[Found]]) -> _Said:
        parts = list(chain.from_iterable(found))
        tokens, weights = self._tokens(parts)
        places = np.concatenate([places + self._bases[number] for number, places, _ in parts])
        sizes = [sum(len(places) for _, places, _ in some) for some in found]
        matches = np.arange(len(found), dtype=np.uint8).repeat(sizes)
        order = tokens.argsort(kind="stable")
        order = order.take(matches.take(order).argsort(kind="stable"))
        return _Said(matches.take(order), tokens.take(order), places.take(order), weights.take(order))

    def _candidates(
        self, said: _Said, edges: IntArray, best: IntArray, counts: Floats, cuts: Sequence[int]
    ) -> list[Candidate]:
        """Of the groups `best` of those at `edges` in `said`; those at `cuts` are the first of a match."""
        begins, ends = edges.take(best).tolist(), edges.take(best + 1).tolist()
        places = np.concatenate([said.places[a:b] for a, b in zip(begins, ends, strict=True)])
        starts = [0, *accumulate(b - a for a, b in zip(begins, ends, strict=True))]
        n_own = np.add.reduceat(places >= self._end, starts[:-1], dtype=np.int64).tolist()
        compared = self._compared(places, starts)
        near = self._nearness_of(places.take(compared))
        firsts = compared.searchsorted(starts).tolist()
        ahead: list[tuple[int, ...]] = [()] * len(best)
        for lead in cuts[:-1]:
            if n_own[lead]:
                nearest = places[starts[lead] : starts[lead] + n_own[lead]].max()
            else:
                nearest = places[compared[firsts[lead] + near[firsts[lead] : firsts[lead + 1]].argmax()]]
            ahead[lead] = self._ahead(int(nearest))
        return [
            Candidate(token - 1, round(count), *rest)
            for token, count, *rest in zip(
                said.tokens.take(begins).tolist(),
                counts.take(best).tolist(),
                n_own,
                np.maximum.reduceat(near, firsts[:-1]).tolist(),
                ahead,
                strict=True,
            )
        ]

    def _compared(self, places: IntArray, starts: Sequence[int]) -> IntArray:
        """The numbers of the first `MOST_COMPARED` places of each source from each of `starts` on."""
        anew = begins_anew(self._files.bases.searchsorted(places, side="right"))
        anew[starts[:-1]] = True
        numbers = np.arange(len(places))
        n_before = numbers - np.maximum.accumulate(numbers * anew)
        compared: IntArray = (n_before < MOST_COMPARED).nonzero()[0]
        return compared

    def _nearness_of(self, places: IntArray) -> Floats:
        """Of the files that they lie in; 1 in the open one."""
        near = np.ones(len(places))
        others = (places < self._end).nonzero()[0]
        near[others] = self._nearness.of(self._files.file_of(places.take(others)))
        return near

    def _ahead(self, place: int) -> tuple[int, ...]:
        return self._files.ahead(place) if place < self._end else self._segments[0].ahead(place - self._end)

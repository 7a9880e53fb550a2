"""What followed the last words where they stood before: which tokens, how often, and how near.

Owns the way from places to the candidates of a match. Which places a match has is `indexer.suffix_session`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np

from indexer.folders import Nearness
from indexer.suffix_index import LiveSegment
from indexer.suffix_segment import grouped
from model.exact_memory import Candidate, Match
from model.protocols import IntArray

MOST_COMPARED = 8
"""Places of a candidate whose nearness is compared."""
OWN = ""
"""Stands for the target file up to the cursor."""

Found = tuple[LiveSegment, IntArray, float]
"""Some places of a source, and for how many each stands."""


class Followers:
    """As seen from the file `path`."""

    def __init__(self, path: str) -> None:
        self._nearness = Nearness(path)

    def match(self, length: int, found: Sequence[Found], most: int) -> Match:
        """What followed the last `length` words at the places `found`; `most` candidates at most."""
        found = [one for one in found if len(one[1])]
        sizes = [len(places) for _, places, _ in found]
        tokens = np.concatenate([source.segment.stored.take(places) for source, places, _ in found])
        weights = np.repeat([weight for _, _, weight in found], sizes)
        by_token, edges = grouped(tokens)
        counts = np.add.reduceat(weights.take(by_token), edges[:-1])
        sources = [0, *accumulate(sizes)]
        candidates: list[Candidate] = []
        for group in (-counts).argsort(kind="stable")[:most].tolist():
            said = by_token[edges[group] : edges[group + 1]]
            token, count = int(tokens[said[0]]) - 1, round(float(counts[group]))
            candidates.append(
                self._candidate(token, count, list(_split(said, sources, found)), not candidates)
            )
        return Match(length, round(float(counts.sum())), tuple(candidates))

    def _candidate(
        self, token: int, count: int, said: Sequence[tuple[LiveSegment, IntArray]], with_ahead: bool
    ) -> Candidate:
        """`said` are its places in each source that has any."""
        where = [(*self._nearest(source, places), source) for source, places in said]
        near, place, source = max(where, key=lambda item: item[0])
        n_own = sum(len(places) for source, places in said if source.segment.paths[0] == OWN)
        return Candidate(token, count, n_own, near, source.segment.ahead(place) if with_ahead else ())

    def _nearest(self, source: LiveSegment, places: IntArray) -> tuple[float, int]:
        """How near the nearest of some places is (1 in the own file, else by folders), and which it is."""
        if source.segment.paths[0] == OWN:
            return 1.0, int(places.max())
        some, paths, nearness = places[:MOST_COMPARED], source.segment.paths, self._nearness
        near = [nearness[paths[number]] for number in source.segment.file_of(some).tolist()]
        nearest = max(near)
        return nearest, int(some[near.index(nearest)])


def _split(
    said: IntArray, edges: Sequence[int], found: Sequence[Found]
) -> Iterator[tuple[LiveSegment, IntArray]]:
    """`said` are numbers among all places of all sources, in order; `edges` is where each source's begin."""
    cuts = said.searchsorted(edges).tolist()
    for (begin, end), edge, (source, places, _) in zip(pairwise(cuts), edges, found, strict=False):
        if begin < end:
            yield source, places[said[begin:end] - edge]

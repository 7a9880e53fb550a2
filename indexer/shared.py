"""Whether what was found is like what stands at the cursor: the names and lines that they share.

Cosines and BM25 say which chunk is likest, not whether any is alike: they have no scale that holds for
another embedder or workspace. Shares have (docs/log.md, 2026-11-29).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from indexer.lexicon import identifier_terms

if TYPE_CHECKING:
    from indexer.retriever import Hit, Query

T = TypeVar("T")

LINES_BEFORE = 10
"""Above the cursor that are searched with; a file that has fewer there and below has only begun."""


def worth_telling(query: Query, hits: Sequence[Hit], least: float) -> bool:
    """Whether a hit shares so much, 0 to 1, with what stands at the cursor.

    Where a file has only begun it is: there the repository is all that there is to go by.
    """
    has_only_begun = len(query.text.splitlines()) < LINES_BEFORE
    return least <= 0 or has_only_begun or shared_with(query, hits) >= least


def shared_with(query: Query, hits: Sequence[Hit]) -> float:
    """0 to 1: the mean of two shares, each of the hit that has most of it.

    Of the names in the lines nearest to the cursor, and of the lines around it.
    """
    texts = [hit.text for hit in hits if hit.text]
    names = _largest_share(
        frozenset(identifier_terms(query.near or query.text)), map(identifier_terms, texts)
    )
    lines = _largest_share(line_set(query.text), map(line_set, texts))
    return (names + lines) / 2


def line_set(text: str) -> frozenset[str]:
    """The lines that say anything, without what stands around them."""
    return frozenset(line.strip() for line in text.splitlines() if line.strip())


def _largest_share(wanted: frozenset[T], found: Iterable[Iterable[T]]) -> float:
    """0 where nothing is wanted: then nothing can be shared."""
    if not wanted:
        return 0.0
    return max((len(wanted.intersection(one)) for one in found), default=0) / len(wanted)

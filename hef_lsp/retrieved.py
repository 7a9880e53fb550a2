"""What was retrieved last for each document, and for how long it goes on to be told.

Owns that memory. A retrieval stays the same while one types in a line, so that the generator's KV cache does
too. Used in the inference lane only; it does not lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hef_lsp.cache import ContextSources
from indexer.hierarchy import NodeKind

if TYPE_CHECKING:
    from indexer.index import IndexView
    from indexer.retriever import Hit

DOCUMENTS_REMEMBERED = 16
FEW_BEST_HITS = 3
"""As long as a line's best hits were told for the line before, nothing is told anew."""

Key = tuple[str, bool]
"""A document, and whether ancestors were searched for, too."""


@dataclass(frozen=True)
class RetrievalPlace:
    """While this is equal, a retrieval is taken over, as long as what it found still stands: one line, the
    same lines above. What one types makes new generations all the time, and a new prompt for each would
    cost a whole prefill."""

    root: str | None
    line: int
    above: str
    n_hits: int


@dataclass
class Found:
    """What was retrieved at a place, and the digests of what was told as memories; None before any was.

    While a retrieval is taken over, what was told as text stays text: a memory that came since would change
    the prompt from its beginning. `worth_telling` is False where nothing found is like what stands there.
    """

    place: RetrievalPlace
    hits: Sequence[Hit]
    worth_telling: bool = True
    memories: frozenset[str] | None = None

    def told_of(self, memories: Collection[str]) -> frozenset[str]:
        """Of the digests that have `memories`: those that are told as such."""
        if self.memories is None:
            self.memories = frozenset(memories)
        return self.memories.intersection(memories)

    def untold(self) -> list[str]:
        """Digests of chunks that were worth telling and had no memory when the others were told."""
        told = self.memories
        if told is None or not self.worth_telling:
            return []
        return [hit.node.digest for hit in self.hits if hit.text and hit.node.digest not in told]

    def or_as_before(self, kept: Found, keeps_memories: bool = True) -> Found:
        """`kept` for this place, where all that is worth telling was told by it: then the prompt may stay.

        Unless it `keeps_memories`, those that came since are told as well.
        """
        told = {hit.node.digest for hit in kept.hits} if kept.worth_telling else set()
        best = self.hits[:FEW_BEST_HITS] if self.worth_telling else ()
        known = all(hit.node.digest in told for hit in best)
        memories = kept.memories if keeps_memories else None
        return replace(kept, place=self.place, memories=memories) if known else self


class LastRetrievals:
    """By document."""

    def __init__(self) -> None:
        self._found: OrderedDict[Key, Found] = OrderedDict()

    def of(self, key: Key, place: RetrievalPlace, view: IndexView) -> Found | None:
        """The last one for a document, if made in the same way and if what it found still stands."""
        kept = self._found.get(key)
        if kept is None or (kept.place.root, kept.place.n_hits) != (place.root, place.n_hits):
            return None
        return kept if still_current(view, sources_of(kept.hits)) else None

    def remember(self, key: Key, found: Found) -> None:
        self._found[key] = found
        self._found.move_to_end(key)
        while len(self._found) > 2 * DOCUMENTS_REMEMBERED:
            self._found.popitem(last=False)


def sources_of(hits: Sequence[Hit]) -> ContextSources:
    """The nodes behind a context whose change makes a suggestion stale: none wider than a file."""
    return frozenset(hit.node.digest for hit in hits if hit.node.kind <= NodeKind.FILE)


def still_current(view: IndexView | None, sources: ContextSources) -> bool:
    """Whether all of `sources` still stand somewhere in the workspace. Any thread; reads memory only."""
    return not sources if view is None else all(digest in view for digest in sources)

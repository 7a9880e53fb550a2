"""What a completion reads of the index: one generation, which never changes while it is held.

Owns nothing; texts and memories are read from the store by digest, and digests never change their
meaning. Any thread may read a view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.chunk import NO_LANGUAGE, Chunk, digest_of
from indexer.hierarchy import Hierarchy, Node
from indexer.layered import LayeredMap
from indexer.store import IndexStore
from indexer.suffix_index import SuffixSnapshot
from indexer.vector_store import KeySnapshot
from indexer.wishes import Wishes
from model.protocols import FloatArray, IntArray


@dataclass(frozen=True)
class FileFacts:
    """A file without its text. `spans` ``[n, 3]``: first line, end line and tokens of each chunk."""

    language: str
    rank: float
    spans: IntArray


@dataclass(frozen=True)
class Places:
    """Where each digest stands, and under which label its key is searched."""

    of_digest: LayeredMap[str, tuple[str, ...]]
    of_label: LayeredMap[int, str]


@dataclass(frozen=True)
class IndexView:
    """`memory_shape` is the fuser's M and D, zeros without a fuser; `memory` the exact memory so far.

    `wishes` are those of all generations.
    """

    generation: int
    hierarchy: Hierarchy
    files: Mapping[str, FileFacts]
    places: Places
    keys: KeySnapshot
    store: IndexStore
    fuser_id: str | None
    memory_shape: tuple[int, int]
    memory: SuffixSnapshot
    wishes: Wishes

    def chunk(self, node_id: str) -> Chunk:
        """The chunk at a place, with its text. KeyError if the place is no chunk of this generation."""
        node = self.hierarchy.node(node_id)
        ordinal = int(node_id.rpartition("#")[2])
        return self._chunk(node, ordinal, self._texts([node.digest])[node.digest])

    def chunk_at(self, path: str, line: int) -> Node | None:
        """The chunk that holds a line, counted from 0, or the last before it; None where there is none."""
        facts = self.files.get(path)
        if facts is None:
            return None
        ordinal = int(np.searchsorted(facts.spans[:, 0], line, side="right")) - 1
        return None if ordinal < 0 else self.hierarchy.node(self.hierarchy.chunk_ids(path)[ordinal])

    def file_chunks(self, path: str) -> tuple[Chunk, ...]:
        """The chunks of a file in order; empty if the file is unknown."""
        nodes = [self.hierarchy.node(node_id) for node_id in self.hierarchy.chunk_ids(path)]
        texts = self._texts(list(dict.fromkeys(node.digest for node in nodes)))
        return tuple(self._chunk(node, ordinal, texts[node.digest]) for ordinal, node in enumerate(nodes))

    def _texts(self, digests: Sequence[str]) -> dict[str, str]:
        texts = self.store.texts(digests)
        if len(texts) < len(digests) and self.store.generation == self.generation:
            raise self.store.found_damaged("the text of a chunk is missing")
        return texts

    def _chunk(self, node: Node, ordinal: int, text: str) -> Chunk:
        facts = self.files[node.path]
        if digest_of(facts.language or NO_LANGUAGE, text) != node.digest:
            raise self.store.found_damaged(f"the text of {node.path} is not what was stored")
        start, end, n_tokens = (int(number) for number in facts.spans[ordinal])
        return Chunk(node.path, facts.language, start, end, text, n_tokens, node.digest)

    def rank(self, path: str) -> float:
        """1.0 for an ordinary file, less for generated and vendored ones."""
        facts = self.files.get(path)
        return 1.0 if facts is None else facts.rank

    def search(self, key: FloatArray, k: int) -> list[tuple[Node, float]]:
        """The `k` nodes, chunks and ancestors, whose keys are nearest, with their cosine."""
        found = self.keys.search(key, k)
        return self._nodes([(self.places.of_label[label], score) for label, score in found], k)

    def search_terms(self, terms: Sequence[str], k: int) -> list[tuple[Node, float]]:
        """BM25 of `terms` over chunks, best first.

        The store keeps texts that no file holds any more, after a branch switch as many as live ones:
        where they stand before the others, more is asked for.
        """
        limit = 2 * k
        while True:
            found = self.store.match(terms, limit)
            nodes = self._nodes(found, k)
            if len(nodes) >= k or len(found) < limit:
                return nodes
            limit *= 4

    def memories(self, digests: Sequence[str]) -> dict[str, FloatArray]:
        """digest -> ``[M, D]``, of those fused so far."""
        if self.fuser_id is None:
            return {}
        flat = self.store.vectors(list(dict.fromkeys(digests)), self.fuser_id)
        return {digest: vector.reshape(self.memory_shape) for digest, vector in flat.items()}

    def wish_for(self, digests: Sequence[str], for_later: bool = False) -> bool:
        """Memories that were missed, the most wanted first: they are made before all others, those that are
        wanted now before those `for_later`. Whether they are made at all."""
        return self.wishes.add(digests, for_later)

    def fused(self, digests: Sequence[str]) -> set[str]:
        """Those of `digests` that have a memory by now."""
        if self.fuser_id is None:
            return set()
        return self.store.with_vectors(list(dict.fromkeys(digests)), self.fuser_id)

    def __contains__(self, digest: str) -> bool:
        """Whether some node has this digest."""
        return digest in self.places.of_digest

    def _nodes(self, found: Sequence[tuple[str, float]], k: int) -> list[tuple[Node, float]]:
        nodes = [
            (self.hierarchy.node(node_id), score)
            for digest, score in found
            for node_id in self.places.of_digest.get(digest, ())
        ]
        return nodes[:k]

"""The index in memory at one generation, and how a change makes the next: hierarchy, keys, places.

Owns what is derived from the store and can always be derived again. One thread changes it (the
index writer); `view` makes the immutable picture that others read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np

from indexer.hierarchy import Hierarchy, Node, NodeKind
from indexer.hnsw import HnswVectorStore, hnsw_is_available
from indexer.layered import LayeredMap
from indexer.store import IndexStore
from indexer.suffix_index import SuffixSnapshot
from indexer.vector_store import ExactVectorStore, VectorStore
from indexer.view import FileFacts, IndexView, Places
from indexer.wishes import Wishes
from model.protocols import FloatArray, IntArray

EXACT_UP_TO = 20_000
"""Nodes; above, the graph is several times faster (0.1 ms against 2 ms and more)."""


class IndexState:
    """Invariant: each distinct digest of a present node has one label; labels are never used twice.

    Beyond `max_memory_bytes` of keys, ancestors are left out of the search, not chunks.
    """

    def __init__(self, store: IndexStore, embedder_id: str, dimension: int, max_memory_bytes: int) -> None:
        self.hierarchy = Hierarchy.build({})
        self.files: LayeredMap[str, FileFacts] = LayeredMap()
        self.notes: list[str] = []
        self.wishes = Wishes()
        self._store, self._embedder_id, self._dimension = store, embedder_id, dimension
        self._max_bytes = max_memory_bytes
        self._keys: VectorStore = ExactVectorStore(dimension)
        self._labels: dict[str, int] = {}
        root = self.hierarchy.root
        self._places = Places(LayeredMap({root.digest: (root.id,)}), LayeredMap())
        self._next_label = 0

    @property
    def keys(self) -> VectorStore:
        return self._keys

    def is_present(self, digest: str) -> bool:
        """Whether some node has this digest."""
        return digest in self._places.of_digest

    def node_of(self, digest: str) -> Node:
        """One of the present nodes that have this digest; KeyError if none has."""
        return self.hierarchy.node(self._places.of_digest[digest][0])

    def children_of(self, node: Node) -> list[str]:
        """The digests of a present node's children."""
        return [self.hierarchy.node(child).digest for child in node.children]

    def load(self) -> None:
        """Everything from the store."""
        stored = self._store.files()
        shape: dict[str, list[str]] = {}
        files: dict[str, FileFacts] = {}
        for path, rows in groupby(self._store.rows(), key=itemgetter(0)):
            listed = list(rows)
            shape[path] = [row[1] for row in listed]
            spans = np.array([row[2:] for row in listed], np.int64)
            files[path] = FileFacts(stored[path].language or "", stored[path].rank, spans)
        self.change(shape, files)

    def change(self, shape: Mapping[str, Sequence[str] | None], files: Mapping[str, FileFacts]) -> list[Node]:
        """Moves on: path -> new chunk digests, or None for a file that is gone.

        Returns the nodes that came, chunks and parents. Keys of new chunks must be in the store.
        """
        before, after = self.hierarchy, self.hierarchy.update(shape)
        old, new = before.touched(shape), after.touched(shape)
        gone = [node for node_id, node in old.items() if _differs(node, new.get(node_id))]
        came = [node for node_id, node in new.items() if _differs(node, old.get(node_id))]
        put = {path: files[path] for path, digests in shape.items() if digests}
        self.files = self.files.changed(put, [path for path in shape if path not in put])
        self.hierarchy = after
        self._move_places(gone, came)
        return came

    def _move_places(self, gone: Sequence[Node], came: Sequence[Node]) -> None:
        of_digest = self._places.of_digest
        left, new = _ids_by_digest(gone), _ids_by_digest(came)
        standing: dict[str, tuple[str, ...]] = {}
        for digest in left.keys() | new.keys():
            leaving = left.get(digest, {})
            kept = (node_id for node_id in of_digest.get(digest, ()) if node_id not in leaving)
            standing[digest] = (*kept, *new.get(digest, ()))
        dead = [digest for digest, ids in standing.items() if not ids]
        put = {digest: ids for digest, ids in standing.items() if ids}
        dead_labels = self._drop_keys(dead)
        before = self._next_label
        self._add_keys([node for node in came if node.digest not in self._labels])
        labelled = {self._labels[digest]: digest for digest in put if self._labels.get(digest, -1) >= before}
        self._places = Places(
            of_digest.changed(put, dead), self._places.of_label.changed(labelled, dead_labels)
        )

    def _drop_keys(self, digests: Iterable[str]) -> list[int]:
        labels = [self._labels.pop(digest) for digest in digests if digest in self._labels]
        if labels:
            self._keys.remove(np.array(labels, np.int64))
        return labels

    def _add_keys(self, nodes: Sequence[Node]) -> None:
        chunks = list(dict.fromkeys(node.digest for node in nodes if node.kind is NodeKind.CHUNK))
        stored = self._store.vectors(chunks, self._embedder_id)
        present = [digest for digest in chunks if digest in stored]
        if present:
            self._put(present, np.stack([stored[digest] for digest in present]))
        parents = {node.digest: node for node in nodes if node.kind is not NodeKind.CHUNK}
        for _, level in groupby(sorted(parents.values(), key=lambda n: n.height), key=lambda n: n.height):
            self._add_parents([node for node in level if node.digest not in self._labels])
        self._grow()

    def _add_parents(self, nodes: Sequence[Node]) -> None:
        if self._keys.n_bytes > self._max_bytes:
            if nodes and not self.notes:
                self.notes.append(
                    "the memory limit is reached: files and directories are not searched as wholes"
                )
            return
        pooled = {node.digest: self._pooled(node) for node in nodes}
        keys = {digest: key for digest, key in pooled.items() if key is not None}
        if keys:
            self._put(list(keys), np.stack(list(keys.values())))

    def _pooled(self, node: Node) -> FloatArray | None:
        """The mean of the children's keys, weighted by chunks, of unit length; None without any."""
        children = [self.hierarchy.node(child) for child in node.children]
        known = [child for child in children if child.digest in self._labels]
        if not known:
            return None
        keys = self._keys.keys_of(np.array([self._labels[child.digest] for child in known], np.int64))
        pooled = np.array([child.n_chunks for child in known], np.float32) @ keys
        norm = float(np.linalg.norm(pooled))
        return (pooled / norm).astype(np.float32) if norm else pooled

    def _put(self, digests: Sequence[str], keys: FloatArray) -> None:
        labels: IntArray = np.arange(self._next_label, self._next_label + len(digests), dtype=np.int64)
        self._next_label += len(digests)
        self._labels.update(zip(digests, labels.tolist(), strict=True))
        self._keys.add(labels, keys)

    def _grow(self) -> None:
        if isinstance(self._keys, ExactVectorStore) and len(self._keys) > EXACT_UP_TO and hnsw_is_available():
            labels = np.array(sorted(self._labels.values()), np.int64)
            graph = HnswVectorStore(self._dimension)
            graph.add(labels, self._keys.keys_of(labels))
            self._keys = graph

    def view(
        self,
        generation: int,
        fuser_id: str | None,
        memory_shape: tuple[int, int],
        memory: SuffixSnapshot,
    ) -> IndexView:
        """The picture of now."""
        keys = self._keys.snapshot()
        return IndexView(
            generation,
            self.hierarchy,
            self.files,
            self._places,
            keys,
            self._store,
            fuser_id,
            memory_shape,
            memory,
            self.wishes,
        )


def _differs(node: Node, other: Node | None) -> bool:
    return node is not other and node != other


def _ids_by_digest(nodes: Iterable[Node]) -> dict[str, dict[str, None]]:
    """The ids under each digest, in order: a licence's text stands in a hundred thousand files."""
    found: dict[str, dict[str, None]] = {}
    for node in nodes:
        found.setdefault(node.digest, {})[node.id] = None
    return found

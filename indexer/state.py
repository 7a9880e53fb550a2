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
from indexer.store import IndexStore
from indexer.suffix_index import SuffixSnapshot
from indexer.vector_store import ExactVectorStore, VectorStore
from indexer.view import FileFacts, IndexView, Places
from model.protocols import FloatArray, IntArray

EXACT_UP_TO = 20_000
"""Nodes; above, the graph is several times faster (0.1 ms against 2 ms and more)."""


class IndexState:
    """Invariant: each distinct digest of a present node has one label; labels are never used twice.

    Beyond `max_memory_bytes` of keys, ancestors are left out of the search, not chunks.
    """

    def __init__(self, store: IndexStore, embedder_id: str, dimension: int, max_memory_bytes: int) -> None:
        self.hierarchy = Hierarchy.build({})
        self.files: dict[str, FileFacts] = {}
        self.notes: list[str] = []
        self._store, self._embedder_id, self._dimension = store, embedder_id, dimension
        self._max_bytes = max_memory_bytes
        self._keys: VectorStore = ExactVectorStore(dimension)
        self._labels: dict[str, int] = {}
        self._places = Places({self.hierarchy.root.digest: (self.hierarchy.root.id,)}, {})
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
        for path, rows in groupby(self._store.rows(), key=itemgetter(0)):
            listed = list(rows)
            shape[path] = [row[1] for row in listed]
            spans = np.array([row[2:] for row in listed], np.int64)
            self.files[path] = FileFacts(stored[path].language or "", stored[path].rank, spans)
        self.change(shape, self.files)

    def change(self, shape: Mapping[str, Sequence[str] | None], files: Mapping[str, FileFacts]) -> list[Node]:
        """Moves on: path -> new chunk digests, or None for a file that is gone.

        Returns the nodes that came, chunks and parents. Keys of new chunks must be in the store.
        """
        before, after = self.hierarchy, self.hierarchy.update(shape)
        old, new = before.touched(shape), after.touched(shape)
        gone = [node for node_id, node in old.items() if new.get(node_id) != node]
        came = [node for node_id, node in new.items() if old.get(node_id) != node]
        self.files = {path: facts for path, facts in self.files.items() if path not in shape} | {
            path: files[path] for path, digests in shape.items() if digests
        }
        self.hierarchy = after
        self._move_places(gone, came)
        return came

    def _move_places(self, gone: Sequence[Node], came: Sequence[Node]) -> None:
        of_digest = dict(self._places.of_digest)
        for node in gone:
            of_digest[node.digest] = tuple(i for i in of_digest[node.digest] if i != node.id)
        for node in came:
            of_digest[node.digest] = (*of_digest.get(node.digest, ()), node.id)
        dead = {node.digest for node in gone if not of_digest[node.digest]}
        for digest in dead:
            del of_digest[digest]
        self._places = Places(of_digest, self._places.of_label)
        self._drop_keys(dead)
        self._add_keys([node for node in came if node.digest not in self._labels])
        of_label = {label: digest for digest, label in self._labels.items()}
        self._places = Places(of_digest, of_label)

    def _drop_keys(self, digests: Iterable[str]) -> None:
        labels = [self._labels.pop(digest) for digest in digests if digest in self._labels]
        if labels:
            self._keys.remove(np.array(labels, np.int64))

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
        )

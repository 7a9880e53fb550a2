"""The key store of large workspaces: hnswlib's graph, with tombstones of our own.

Owns the graph and the lock that hnswlib needs (adding beside searching is unsafe there). Removed
labels stay in the graph and are passed over; past 30% of them the graph is built anew.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.vector_store import MOST_TOMBSTONES, Found
from model.protocols import FloatArray, IntArray

if TYPE_CHECKING:
    import hnswlib

CONSTRUCTION_EF = 120
LINKS = 16
LEAST_EF = 96
FIRST_CAPACITY = 4096


def hnsw_is_available() -> bool:
    """Whether hnswlib is installed; it is not on Windows, nor without a C++ compiler."""
    try:
        import hnswlib
    except ImportError:
        return False
    return hasattr(hnswlib, "Index")


@dataclass(frozen=True)
class _Graph:
    """One built graph and its lock; both are replaced together."""

    index: hnswlib.Index
    lock: threading.Lock


@dataclass(frozen=True)
class HnswSnapshot:
    """A graph, and the labels that lived when the snapshot was taken."""

    graph: _Graph
    live: frozenset[int]

    def search(self, key: FloatArray, k: int) -> Found:
        k = min(k, len(self.live))
        if k <= 0:
            return []
        with self.graph.lock:
            present = self.graph.index.get_current_count()
            n_dead = present - len(self.live)
            asked = min(present, 2 * k + min(n_dead, 4 * k))
            self.graph.index.set_ef(max(LEAST_EF, 2 * asked))
            found = self._search(key, asked, k)
        pairs = [(label, score) for label, score in found if label in self.live]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:k]

    def _search(self, key: FloatArray, asked: int, least: int) -> Found:
        """Fewer than `asked` can be reachable, which hnswlib reports as an error: ask for less."""
        while True:
            try:
                labels, distances = self.graph.index.knn_query(key[None, :], k=asked, num_threads=1)
            except RuntimeError:
                if asked <= 1:
                    return []
                asked = max(1, min(asked - 1, max(least, asked // 2)) if asked > least else asked // 2)
                continue
            return [(int(a), 1.0 - float(d)) for a, d in zip(labels[0], distances[0], strict=True)]


class HnswVectorStore:
    """Invariant: every live label is in the graph; the graph may hold dead ones beside them."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._live: set[int] = set()
        self._graph = self._new_graph(FIRST_CAPACITY)

    def _new_graph(self, capacity: int) -> _Graph:
        import hnswlib

        index = hnswlib.Index(space="ip", dim=self._dimension)
        index.init_index(max_elements=capacity, ef_construction=CONSTRUCTION_EF, M=LINKS, random_seed=7)
        return _Graph(index, threading.Lock())

    def add(self, labels: IntArray, keys: FloatArray) -> None:
        with self._graph.lock:
            index = self._graph.index
            needed = index.get_current_count() + len(labels)
            if needed > index.get_max_elements():
                index.resize_index(max(needed, 2 * index.get_max_elements()))
            index.add_items(keys.astype(np.float32), labels, num_threads=1)
        self._live.update(labels.tolist())

    def remove(self, labels: IntArray) -> None:
        for label in labels.tolist():
            self._live.remove(label)
        if len(self._live) < (1 - MOST_TOMBSTONES) * self._graph.index.get_current_count():
            self._rebuild()

    def _rebuild(self) -> None:
        live = np.fromiter(sorted(self._live), np.int64, len(self._live))
        fresh = self._new_graph(max(FIRST_CAPACITY, 2 * len(live)))
        if len(live):
            fresh.index.add_items(self.keys_of(live), live, num_threads=1)
        self._graph = fresh

    def search(self, key: FloatArray, k: int) -> Found:
        return self.snapshot().search(key, k)

    def keys_of(self, labels: IntArray) -> FloatArray:
        if missing := set(labels.tolist()) - self._live:
            raise KeyError(min(missing))
        with self._graph.lock:
            return np.asarray(self._graph.index.get_items(labels), np.float32)

    def snapshot(self) -> HnswSnapshot:
        return HnswSnapshot(self._graph, frozenset(self._live))

    def __len__(self) -> int:
        return len(self._live)

    @property
    def n_bytes(self) -> int:
        """An estimate: keys, and links of two bytes-wide layers."""
        return int(self._graph.index.get_max_elements()) * (4 * self._dimension + 8 * LINKS + 16)

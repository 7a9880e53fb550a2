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
from model.protocols import BoolArray, FloatArray, IntArray

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
    """A graph, and which labels lived when the snapshot was taken: `live` ``[at least every label + 1]``."""

    graph: _Graph
    live: BoolArray
    n_live: int

    def search(self, key: FloatArray, k: int) -> Found:
        k = min(k, self.n_live)
        if k <= 0:
            return []
        with self.graph.lock:
            present = self.graph.index.get_current_count()
            n_dead = present - self.n_live
            asked = min(present, 2 * k + min(n_dead, 4 * k))
            self.graph.index.set_ef(max(LEAST_EF, 2 * asked))
            found = self._search(key, asked, k)
        pairs = [(label, score) for label, score in found if label < len(self.live) and self.live[label]]
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
    """Invariant: every live label is in the graph; the graph may hold dead ones beside them.

    `_live` is written by one thread and copied for readers: a byte a label, where a set of them would
    hold the interpreter for milliseconds.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._live: BoolArray = np.zeros(FIRST_CAPACITY, np.bool_)
        self._n_live = 0
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
        if len(labels) and (last := int(labels.max())) >= len(self._live):
            longer = np.zeros(max(last + 1, 2 * len(self._live)), np.bool_)
            longer[: len(self._live)] = self._live
            self._live = longer
        self._live[labels] = True
        self._n_live += len(labels)

    def remove(self, labels: IntArray) -> None:
        self._check_live(labels)
        self._live[labels] = False
        self._n_live -= len(labels)
        if self._n_live < (1 - MOST_TOMBSTONES) * self._graph.index.get_current_count():
            self._rebuild()

    def _rebuild(self) -> None:
        live = np.flatnonzero(self._live).astype(np.int64)
        fresh = self._new_graph(max(FIRST_CAPACITY, 2 * len(live)))
        if len(live):
            fresh.index.add_items(self.keys_of(live), live, num_threads=1)
        self._graph = fresh

    def search(self, key: FloatArray, k: int) -> Found:
        return self.snapshot().search(key, k)

    def keys_of(self, labels: IntArray) -> FloatArray:
        self._check_live(labels)
        with self._graph.lock:
            return np.asarray(self._graph.index.get_items(labels), np.float32)

    def snapshot(self) -> HnswSnapshot:
        return HnswSnapshot(self._graph, self._live.copy(), self._n_live)

    def _check_live(self, labels: IntArray) -> None:
        known = labels < len(self._live)
        if not (known.all() and self._live[labels].all()):
            raise KeyError(next(n for n in labels.tolist() if n >= len(self._live) or not self._live[n]))

    def __len__(self) -> int:
        return self._n_live

    @property
    def n_bytes(self) -> int:
        """An estimate: keys, and links of two bytes-wide layers."""
        return int(self._graph.index.get_max_elements()) * (4 * self._dimension + 8 * LINKS + 16)

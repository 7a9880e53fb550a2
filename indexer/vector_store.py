"""Where keys are searched: the protocol, and the exact store, which is the oracle and the default.

Owns arrays in memory only; the truth is in `indexer.store`. Labels are given by the caller and are
never used twice. Written by the index writer; snapshots may be read by any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model.protocols import BoolArray, FloatArray, IntArray

MOST_TOMBSTONES = 0.3
FIRST_CAPACITY = 256

Found = list[tuple[int, float]]
"""(label, cosine), best first."""


class KeySnapshot(Protocol):
    """The store as it was at one generation; never changes."""

    def search(self, key: FloatArray, k: int) -> Found: ...


class VectorStore(Protocol):
    """Unit keys under labels. Rows ``[n, D]``, float32."""

    def add(self, labels: IntArray, keys: FloatArray) -> None: ...

    def remove(self, labels: IntArray) -> None: ...

    def search(self, key: FloatArray, k: int) -> Found:
        """The `k` nearest live labels, best first; ties by label."""
        ...

    def keys_of(self, labels: IntArray) -> FloatArray:
        """The keys of live labels; KeyError for another."""
        ...

    def snapshot(self) -> KeySnapshot: ...

    def __len__(self) -> int: ...

    @property
    def n_bytes(self) -> int: ...


@dataclass(frozen=True)
class ExactSnapshot:
    """Rows, their labels and which of them live."""

    keys: FloatArray
    labels: IntArray
    live: BoolArray

    def search(self, key: FloatArray, k: int) -> Found:
        n_live = int(self.live.sum())
        k = min(k, n_live)
        if k <= 0:
            return []
        scores = np.where(self.live, self.keys @ key.astype(np.float32), -np.inf)
        nearest = np.argpartition(-scores, k - 1)[:k]
        order = np.lexsort((self.labels[nearest], -scores[nearest]))
        return [(int(self.labels[i]), float(scores[i])) for i in nearest[order]]


class ExactVectorStore:
    """Every key compared with the query: one matrix product.

    Invariant: rows are only appended, and the live mask is replaced, never written, so a snapshot
    shares the rows and stays as it was.
    """

    def __init__(self, dimension: int) -> None:
        self._keys: FloatArray = np.zeros((FIRST_CAPACITY, dimension), np.float32)
        self._labels: IntArray = np.zeros(FIRST_CAPACITY, np.int64)
        self._live: BoolArray = np.zeros(0, np.bool_)
        self._rows: dict[int, int] = {}

    def add(self, labels: IntArray, keys: FloatArray) -> None:
        start, end = len(self._live), len(self._live) + len(labels)
        if end > len(self._keys):
            self._grow(max(end, 2 * len(self._keys)))
        self._keys[start:end], self._labels[start:end] = keys, labels
        self._rows.update(zip(labels.tolist(), range(start, end), strict=True))
        self._live = np.concatenate([self._live, np.ones(len(labels), np.bool_)])

    def _grow(self, capacity: int) -> None:
        n = len(self._live)
        keys, labels = np.zeros((capacity, self._keys.shape[1]), np.float32), np.zeros(capacity, np.int64)
        keys[:n], labels[:n] = self._keys[:n], self._labels[:n]
        self._keys, self._labels = keys, labels

    def remove(self, labels: IntArray) -> None:
        live = self._live.copy()
        live[[self._rows.pop(label) for label in labels.tolist()]] = False
        self._live = live
        if len(live) > FIRST_CAPACITY and len(self._rows) < (1 - MOST_TOMBSTONES) * len(live):
            self._compact()

    def _compact(self) -> None:
        kept = np.flatnonzero(self._live)
        self._keys, self._labels = self._keys[kept], self._labels[kept]
        self._live = np.ones(len(kept), np.bool_)
        self._rows = {label: row for row, label in enumerate(self._labels.tolist())}

    def search(self, key: FloatArray, k: int) -> Found:
        return self.snapshot().search(key, k)

    def keys_of(self, labels: IntArray) -> FloatArray:
        return self._keys[[self._rows[label] for label in labels.tolist()]]

    def snapshot(self) -> ExactSnapshot:
        n = len(self._live)
        return ExactSnapshot(self._keys[:n], self._labels[:n], self._live)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def n_bytes(self) -> int:
        return self._keys.nbytes + self._labels.nbytes + self._live.nbytes

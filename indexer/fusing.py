"""The backlog of memories: chunks without one are encoded, then their ancestors fused, lowest first.

Owns which digests wait, and in which order: chunks that were missed, those near open files, the rest; where
only what was missed is wanted the rest waits, and costs nothing. Nothing is marked dirty in the store: what
waits is what has no vector under ``(digest, fuser id)``, so a crash, an undo or a branch switch needs no
repair. Called by the index writer only; every model call goes through `compute`, a small batch at a time,
since a keystroke waits for at most one, and for less where the fuser can be interrupted. Memories have a
limit on disk; those that do not fit wait, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from indexer.disk_room import NO_LIMIT, DiskRoom
from indexer.hierarchy import Node, NodeKind
from indexer.packed import packed_size
from indexer.store import IndexStore
from indexer.wishes import Wishes
from model.protocols import BoolArray, CancelSignal, FloatArray, Fuser, Interrupted

FIRST_BATCH = 2
MOST_A_BATCH = 16
BATCH_S = 0.06
"""A keystroke waits for one batch at most; this is how long that may be, whatever the machine."""

T = TypeVar("T")


class Compute(Protocol):
    """Runs a model call in the inference lane and waits for it."""

    def __call__(self, job: Callable[[], T], /) -> T: ...


class Place(Protocol):
    """Where digests stand now."""

    def is_present(self, digest: str) -> bool: ...

    def node_of(self, digest: str) -> Node:
        """One of the present nodes that have it."""
        ...

    def children_of(self, node: Node) -> list[str]:
        """The digests of its children."""
        ...


class FusingBacklog:
    """Invariant: chunks and parents together hold exactly the digests of present nodes without a memory."""

    def __init__(
        self,
        store: IndexStore,
        fuser: Fuser,
        compute: Compute,
        place: Place,
        most_bytes: int,
        wishes: Wishes,
        room: DiskRoom | None = None,
        only_wished: bool = False,
    ) -> None:
        self._room = room or DiskRoom(store, NO_LIMIT)
        self._room.look()
        self._store, self._fuser, self._compute, self._place = store, fuser, compute, place
        self._wishes, self._only_wished = wishes, only_wished
        self._most = most_bytes // packed_size(fuser.n_vectors * fuser.dimension)
        self._n_stored = store.count_vectors(fuser.model_id)
        self._chunks: dict[str, None] = {}
        self._parents: dict[str, None] = {}
        self._batch_size = FIRST_BATCH

    def __len__(self) -> int:
        """How many can be worked on now, and are wanted."""
        if self.is_full:
            return 0
        if self._only_wished:
            return sum(digest in self._chunks for digest in self._wishes.ranks())
        return self.n_waiting

    @property
    def n_waiting(self) -> int:
        """All without a memory, those that do not fit or nobody wants among them."""
        return len(self._chunks) + len(self._parents)

    @property
    def is_full(self) -> bool:
        """Whether memories take all the room they may."""
        return self._n_stored >= self._most or self._room.is_full

    @property
    def fuser_id(self) -> str:
        """The model that memories are stored under."""
        return self._fuser.model_id

    def follow(self, came: Sequence[Node]) -> None:
        """Takes up the nodes that came, and forgets the digests that are nowhere any more."""
        kinds = {node.digest: node.kind for node in came if node.n_chunks}
        known = self._store.with_vectors(list(kinds), self._fuser.model_id)
        if self.is_full:  # something may have been collected since
            self._n_stored = self._store.count_vectors(self._fuser.model_id)
        self._chunks = {digest: None for digest in self._chunks if self._place.is_present(digest)}
        self._parents = {digest: None for digest in self._parents if self._place.is_present(digest)}
        for digest in (digest for digest in kinds if digest not in known):
            (self._chunks if kinds[digest] is NodeKind.CHUNK else self._parents)[digest] = None

    def work(self, max_batches: int | None, first: Sequence[str], cancel: CancelSignal) -> tuple[int, int]:
        """Encodes and fuses up to `max_batches` batches; returns how many chunks and how many parents."""
        n_encoded = n_fused = 0
        for whole in islice(self._batches(first), max_batches):
            self._room.look()
            if cancel.cancelled or self.is_full:
                break
            batch = whole[: self._most - self._n_stored]
            try:
                if batch[0].kind is NodeKind.CHUNK:
                    n_encoded += self._encode(batch, cancel)
                else:
                    n_fused += self._fuse(batch)
            except Interrupted:
                break
        return n_encoded, n_fused

    def _batches(self, first: Sequence[str]) -> Iterator[list[Node]]:
        chunks = list(self._chunks)
        if first:
            nearness = _nearness(first)
            chunks.sort(key=lambda digest: nearness(self._place.node_of(digest).path))
        ranks = self._wishes.ranks()
        if self._only_wished:
            chunks = [digest for digest in chunks if digest in ranks]
        chunks.sort(key=lambda digest: ranks.get(digest, len(ranks)))
        yield from self._in_batches(chunks)
        parents = [] if self._only_wished else [self._place.node_of(digest) for digest in self._parents]
        for height in sorted({node.height for node in parents}):
            yield from self._in_batches([node.digest for node in parents if node.height == height])

    def _encode(self, batch: Sequence[Node], cancel: CancelSignal) -> int:
        digests = [node.digest for node in batch]
        texts = self._store.texts(digests)
        if len(texts) < len(set(digests)):
            raise self._store.found_damaged("the text of a chunk is missing")
        wanted = [texts[digest] for digest in digests]
        memories = self._compute(lambda: self._timed(lambda: self._fuser.encode(wanted, cancel)))
        self._keep(digests, memories, "encoded")
        return len(batch)

    def _fuse(self, batch: Sequence[Node]) -> int:
        families = [self._place.children_of(node) for node in batch]
        children, mask = self._children(families)
        memories = self._compute(lambda: self._timed(lambda: self._fuser.fuse(children, mask)))
        self._keep([node.digest for node in batch], memories, "fused")
        return len(batch)

    def _children(self, families: Sequence[Sequence[str]]) -> tuple[FloatArray, BoolArray]:
        """Their memories ``[B, C, M, D]``, zeros where a family is smaller, and the mask ``[B, C]``."""
        distinct = list(dict.fromkeys(digest for family in families for digest in family))
        known = self._store.vectors(distinct, self._fuser.model_id)
        shape = (self._fuser.n_vectors, self._fuser.dimension)
        width = max(map(len, families))
        children = np.zeros((len(families), width, *shape), np.float32)
        mask = np.zeros((len(families), width), np.bool_)
        for row, family in enumerate(families):
            children[row, : len(family)] = [known[digest].reshape(shape) for digest in family]
            mask[row, : len(family)] = True
        return children, mask

    def _in_batches(self, digests: Sequence[str]) -> Iterator[list[Node]]:
        start = 0
        while start < len(digests):
            part = digests[start : start + self._batch_size]
            start += len(part)
            yield [self._place.node_of(digest) for digest in part]

    def _timed(self, job: Callable[[], FloatArray]) -> FloatArray:
        """Runs in the lane, and fits the next batch to the time that this one took there."""
        began_s = time.perf_counter()
        result = job()
        share = BATCH_S / max(1e-4, time.perf_counter() - began_s)
        self._batch_size = max(1, min(MOST_A_BATCH, int(self._batch_size * min(2.0, share))))
        return result

    def _keep(self, digests: Sequence[str], memories: FloatArray, counter: str) -> None:
        with self._store.writing():
            self._store.put_vectors(self._fuser.model_id, digests, memories)
            self._store.count(counter, len(digests))
        self._n_stored += len(digests)
        for digest in digests:
            self._chunks.pop(digest, None)
            self._parents.pop(digest, None)


def _nearness(first: Sequence[str]) -> Callable[[str], int]:
    """0 for a file of `first`, 1 for one beside it, 2 for the rest."""
    files = frozenset(first)
    folders = frozenset(path.rpartition("/")[0] for path in first)
    return lambda path: 0 if path in files else 1 if path.rpartition("/")[0] in folders else 2

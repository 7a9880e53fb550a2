"""Memories made when a row asks for them, and no others: fusing whole repositories would take hours.

Owns what was made so far, by what it was made of, and how long that took: it is not the answer's time, for an
index has its memories before anybody asks.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from indexer.hierarchy import Node, NodeKind
from indexer.view import IndexView
from model.protocols import Embedder, FloatArray, Fuser

STRANGE_CHUNKS = 128
"""Of another repository, to draw from: each is fused when it is first drawn."""


class Made:
    """Memories ``[M, D]`` of texts and of nodes, made once each; `spent_s` is what making them took."""

    def __init__(self, fuser: Fuser) -> None:
        self._fuser = fuser
        self._of_texts: dict[str, FloatArray] = {}
        self._of_parents: dict[str, FloatArray] = {}
        self.spent_s = 0.0

    @contextmanager
    def beforehand(self) -> Iterator[None]:
        """What is done within counts as done before anybody asks."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s += time.perf_counter() - began_s

    def of_texts(self, texts: Sequence[str]) -> list[FloatArray]:
        """In the order of `texts`."""
        with self.beforehand():
            missing = [text for text in dict.fromkeys(texts) if text not in self._of_texts]
            if missing:
                self._of_texts.update(zip(missing, self._fuser.encode(missing), strict=True))
        return [self._of_texts[text] for text in texts]

    def of_nodes(self, view: IndexView, nodes: Sequence[Node]) -> list[FloatArray]:
        """In the order of `nodes`; an ancestor's needs those of all that lies below it."""
        chunks = [node.digest for node in nodes if node.kind is NodeKind.CHUNK]
        texts = view.store.texts(chunks)
        leaves = dict(zip(chunks, self.of_texts([texts[digest] for digest in chunks]), strict=True))
        return [leaves[node.digest] if node.digest in leaves else self._parent(view, node) for node in nodes]

    def _parent(self, view: IndexView, node: Node) -> FloatArray:
        if node.digest not in self._of_parents:
            below = [view.hierarchy.node(child) for child in node.children]
            children = np.stack(self.of_nodes(view, [child for child in below if child.n_chunks]))
            with self.beforehand():
                (memory,) = self._fuser.fuse(children[None], np.ones((1, len(children)), dtype=np.bool_))
            self._of_parents[node.digest] = memory
        return self._of_parents[node.digest]


@dataclass(frozen=True)
class OnDemandView(IndexView):
    """An index that seems to have every memory."""

    made: Made

    def memories(self, digests: Sequence[str]) -> dict[str, FloatArray]:
        """digest -> ``[M, D]``, of those that stand somewhere."""
        known = [digest for digest in dict.fromkeys(digests) if digest in self]
        nodes = [self.hierarchy.node(self.places.of_digest[digest][0]) for digest in known]
        return dict(zip(known, self.made.of_nodes(self, nodes), strict=True))


class Strangers:
    """The chunks of another repository, and which of them are most like some texts."""

    def __init__(self, texts: Sequence[str], embedder: Embedder) -> None:
        self.texts, self._embedder = texts, embedder

    def some(self, most: int) -> Sequence[str]:
        """At most so many, from all over it."""
        return self.texts[:: max(1, len(self.texts) // most)][:most]

    def likest(self, texts: Sequence[str]) -> list[str]:
        """For each of `texts` the one whose key is nearest to its own."""
        nearest = (self._embedder.embed(texts) @ self._keys.T).argmax(axis=1)
        return [self.texts[number] for number in nearest]

    @cached_property
    def _keys(self) -> FloatArray:
        return self._embedder.embed(self.texts)


@dataclass(frozen=True)
class StrangeView(IndexView):
    """One whose memories are those of some chunks of another repository, the same one for the same digest.

    The control for what memories say by their shape alone: if they help as much as the right ones, nothing
    was read of the repository.
    """

    made: Made
    strangers: Strangers

    def memories(self, digests: Sequence[str]) -> dict[str, FloatArray]:
        """digest -> ``[M, D]``."""
        some = self.strangers.some(STRANGE_CHUNKS)
        wanted = [some[zlib.crc32(digest.encode()) % len(some)] for digest in digests]
        return dict(zip(digests, self.made.of_texts(wanted), strict=True))


@dataclass(frozen=True)
class LookalikeView(IndexView):
    """One whose memories are those of the texts of another repository that are most like its own chunks.

    The control for retrieval that looks right and is not: names and shapes that are nearly those at hand.
    """

    made: Made
    strangers: Strangers

    def memories(self, digests: Sequence[str]) -> dict[str, FloatArray]:
        """digest -> ``[M, D]``, of chunks."""
        texts = self.store.texts(digests)
        with self.made.beforehand():
            likest = self.strangers.likest([texts[digest] for digest in digests])
        return dict(zip(digests, self.made.of_texts(likest), strict=True))

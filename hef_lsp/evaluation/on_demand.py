"""Memories made when a row asks for them, and no others: fusing whole repositories would take hours.

Owns what was made so far, by what it was made of, and how long that took: it is not the answer's time, for an
index has its memories before anybody asks.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from indexer.hierarchy import Node, NodeKind
from indexer.view import IndexView
from model.protocols import Embedder, FloatArray, Fuser


class Made:
    """Memories ``[M, D]`` of texts and of nodes, made once each; `spent_s` is what making them took."""

    def __init__(self, fuser: Fuser) -> None:
        self._fuser = fuser
        self._of_texts: dict[str, FloatArray] = {}
        self._of_parents: dict[str, FloatArray] = {}
        self.spent_s = 0.0

    def of_texts(self, texts: Sequence[str]) -> list[FloatArray]:
        """In the order of `texts`."""
        began_s = time.perf_counter()
        missing = [text for text in dict.fromkeys(texts) if text not in self._of_texts]
        if missing:
            self._of_texts.update(zip(missing, self._fuser.encode(missing), strict=True))
        self.spent_s += time.perf_counter() - began_s
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
            began_s = time.perf_counter()
            (memory,) = self._fuser.fuse(children[None], np.ones((1, len(children)), dtype=np.bool_))
            self.spent_s += time.perf_counter() - began_s
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


@dataclass(frozen=True)
class StrangeView(IndexView):
    """One whose memories are those of `texts` of another repository, the same one for the same digest.

    The control for what memories say by their shape alone: if they help as much as the right ones, nothing
    was read of the repository.
    """

    made: Made
    texts: Sequence[str]

    def memories(self, digests: Sequence[str]) -> dict[str, FloatArray]:
        """digest -> ``[M, D]``."""
        wanted = [self.texts[zlib.crc32(digest.encode()) % len(self.texts)] for digest in digests]
        return dict(zip(digests, self.made.of_texts(wanted), strict=True))


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
class LookalikeView(IndexView):
    """One whose memories are those of the texts of another repository that are most like its own chunks.

    The control for retrieval that looks right and is not: names and shapes that are nearly those at hand.
    """

    made: Made
    strangers: Strangers

    def memories(self, digests: Sequence[str]) -> dict[str, FloatArray]:
        """digest -> ``[M, D]``, of chunks."""
        texts = self.store.texts(digests)
        likest = self.strangers.likest([texts[digest] for digest in digests])
        return dict(zip(digests, self.made.of_texts(likest), strict=True))

"""Vectors of another repository in place of one's own: the control for what vectors say by their shape alone.

Owns the pool of such vectors and the view that hands them out. If an arm with these helps as much as one
with the right ones, nothing was read of the repository.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from indexer.view import IndexView
from model.protocols import FloatArray, Fuser

MOST_CHUNKS = 128


@dataclass(frozen=True)
class StrangeView(IndexView):
    """An index whose memories are those of `pool` ``[N, M, D]``, the same one for the same digest."""

    pool: FloatArray

    def memories(self, digests: Sequence[str]) -> dict[str, FloatArray]:
        """digest -> ``[M, D]``."""
        return {digest: self.pool[zlib.crc32(digest.encode()) % len(self.pool)] for digest in digests}


def strange_view(view: IndexView, pool: FloatArray) -> StrangeView:
    """`view` with the vectors of `pool`."""
    return StrangeView(**vars(view), pool=pool)


def pool_of(view: IndexView, fuser: Fuser) -> FloatArray:
    """Vectors ``[N, M, D]`` of chunks from all over a repository; raises ValueError for an empty one."""
    texts = [chunk.text for path in sorted(view.files) for chunk in view.file_chunks(path)]
    if not texts:
        raise ValueError("a repository without chunks cannot lend its vectors")
    step = max(1, len(texts) // MOST_CHUNKS)
    return fuser.encode(texts[::step][:MOST_CHUNKS])

"""What was found for a request and had no memory: the next to be fused.

Owns the list, which the lane writes to and the index's writer reads. Any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

MOST_WISHES = 1024


class Wishes:
    """Digests, the last wished for first; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wished: OrderedDict[str, None] = OrderedDict()

    def add(self, digests: Sequence[str]) -> None:
        """`digests`, the most wanted first."""
        with self._lock:
            for digest in reversed(digests):
                self._wished[digest] = None
                self._wished.move_to_end(digest)
            while len(self._wished) > MOST_WISHES:
                self._wished.popitem(last=False)

    def ranks(self) -> dict[str, int]:
        """digest -> how many come before it."""
        with self._lock:
            return {digest: rank for rank, digest in enumerate(reversed(self._wished))}

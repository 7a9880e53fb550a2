"""What was found for a request and had no memory: the next to be fused.

Owns the list, which the lane writes to and the index's writer reads. Any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

MOST_WISHES = 1024


class Wishes:
    """Digests, the last wished for first, those for later last; what is wanted least is forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wished: OrderedDict[str, None] = OrderedDict()
        self.on_wish: Callable[[], None] = _nobody_listens
        """Called after each `add` of something that is granted, in its thread."""
        self.are_granted: Callable[[], bool] = _nobody_grants
        """Whether anybody makes memories, and has room for more."""

    def add(self, digests: Sequence[str], for_later: bool = False) -> bool:
        """`digests`, the most wanted first; whether they will have a memory."""
        with self._lock:
            if for_later:
                known = self._wished
                new = dict.fromkeys(digest for digest in reversed(digests) if digest not in known)
                self._wished = OrderedDict({**new, **known})
            else:
                for digest in reversed(digests):
                    self._wished[digest] = None
                    self._wished.move_to_end(digest)
            while len(self._wished) > MOST_WISHES:
                self._wished.popitem(last=False)
        granted = self.are_granted()
        if digests and granted:
            self.on_wish()
        return granted

    def close(self) -> None:
        """Nobody makes memories any more, and nobody is held here who did."""
        self.on_wish, self.are_granted = _nobody_listens, _nobody_grants

    def ranks(self) -> dict[str, int]:
        """digest -> how many come before it."""
        with self._lock:
            return {digest: rank for rank, digest in enumerate(reversed(self._wished))}


def _nobody_listens() -> None:
    pass


def _nobody_grants() -> bool:
    return False

"""Memories of chunks that the index has not come to yet, made when a request needs them.

Owns a few of them and the time that a request may spend. Making one costs about what reading the chunk as
text would, twice; the index works in its own order and may be minutes behind. For the inference lane only.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping

from model.protocols import FloatArray, Fuser

FRESH_S = 0.4
"""Time for one request; what is left over comes with the next key."""
MOST_KEPT = 24
"""Of 0.7 MB each with the default generator."""


class FreshMemories:
    """Invariant: holds the `MOST_KEPT` asked for last."""

    def __init__(self, fuser: Fuser, seconds: float = FRESH_S) -> None:
        self._fuser, self._seconds = fuser, seconds
        self._kept: OrderedDict[str, FloatArray] = OrderedDict()

    def of(self, texts: Mapping[str, str]) -> dict[str, FloatArray]:
        """Digest -> ``[M, D]`` for chunks, digest -> text, best first; not for all where time runs out."""
        until_s = time.monotonic() + self._seconds
        found = dict[str, FloatArray]()
        for digest, text in texts.items():
            if digest not in self._kept and time.monotonic() < until_s:
                self._kept[digest] = self._fuser.encode([text])[0]
            if digest in self._kept:
                self._kept.move_to_end(digest)
                found[digest] = self._kept[digest]
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found

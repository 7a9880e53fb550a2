"""Memory that was freed goes back to the system.

Loading unpacks and packs a model's matrices one after the other; the allocator keeps what they took,
hundreds of MiB that a server never needs again.
"""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Asks the allocator, where it can be asked: glibc's."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""Keeps Python's collector from looking at the models again and again, and gives memory back.

Owns when the long-lived objects are put aside, and when what nobody uses goes back to the system. A full
collection stops every thread: with the models loaded, which are 380,000 objects, some 200 ms, and while a
large folder was indexed up to 428 ms, on two cores.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress


def settle() -> None:
    """Collects everything once, also what was put aside before, gives it back, and puts what is left aside.

    Call it after models were loaded or let go. What is put aside is still freed when nothing refers to it;
    only cycles wait for the next call. Any thread; takes as long as one full collection.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _give_back()


def _give_back() -> None:
    """What GNU's allocator holds for later goes to the system: 260 MiB after a model was unpacked."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another library than GNU's has no such call
            ctypes.CDLL(None).malloc_trim(0)

"""Keeps Python's collector from looking at the models again and again.

Owns when the long-lived objects are put aside. A full collection stops every thread: with the models loaded,
which are 380,000 objects, some 200 ms, and while a large folder was indexed up to 428 ms, on two cores.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Collects everything once, also what was put aside before, and puts what is left aside.

    Call it after models were loaded or let go. What is put aside is still freed when nothing refers to it;
    only cycles wait for the next call. Any thread; takes as long as one full collection.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()

"""How torch's threads share the machine with what else runs on it.

Owns two rules: threads that wait for each other soon give their core away, and work that nobody waits for
leaves one core to the thread that answers keys. Imports no torch: where it is not loaded, nothing computes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPINS = "GOMP_SPINCOUNT"
FEW_SPINS = "3000"
"""Some 10 microseconds: most waits inside a pass are shorter."""


def wait_briefly() -> None:
    """From here on GNU's OpenMP, torch's on Linux, puts a waiting thread to sleep after some microseconds.

    Call it before torch is imported. By default a thread burns its core for a millisecond or more, in which
    nobody else, the thread that it waits for among them, can run there: on two cores beside two busy
    processes a token took 2.6 s so, and 53 ms with few spins; on a quiet machine 12.2 and 12.7 ms. What the
    user has set stands.
    """
    os.environ.setdefault(SPINS, FEW_SPINS)


@contextmanager
def one_core_left() -> Iterator[None]:
    """Within, torch computes in this thread with one thread less, at least with one.

    On two cores an answer from the suggestion store took 8 ms at p95 beside two computing threads,
    and 4.5 beside one. The next line is seldom asked for before one thread has worked it out.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    n_threads = torch.get_num_threads()
    torch.set_num_threads(max(1, n_threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)

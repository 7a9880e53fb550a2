"""How torch's threads share the machine with what else runs on it.

Owns one rule: work that nobody waits for leaves one core to the thread that answers keys. How torch's threads
wait for each other is told before it is loaded (`model.torch_environment`). Imports no torch: where it is not
loaded, nothing computes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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

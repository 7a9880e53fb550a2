"""What torch is told by the environment, which it reads when it is loaded.

Owns the variables and their values. Imports no torch.
"""

from __future__ import annotations

import os

KERNELS_KEPT = 96
"""More than the shapes of reading (`model.runtime.fast_runtime`), so that none is compiled again."""

TOLD = {
    "GOMP_SPINCOUNT": "3000",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(KERNELS_KEPT),
    "LRU_CACHE_CAPACITY": str(KERNELS_KEPT),
}
"""GNU's OpenMP, torch's on Linux, puts a waiting thread to sleep after some 10 microseconds: most waits in a
pass are shorter. By default a thread burns its core for a millisecond or more, in which nobody else, the one
that it waits for among them, can run there: on two cores beside two busy processes a token took 2.6 s so, and
53 ms with few spins; on a quiet machine 12.2 and 12.7 ms.

oneDNN compiles a kernel for each shape of a product, and both it and torch, of what it has made ready to call
them, keep the last 1,024, each of some hundred KiB: reading texts of all lengths took 1.7 MiB an answer so.
"""


def tell_torch() -> None:
    """Sets the variables for this process. Call it before torch is imported; what the user has set stands."""
    for name, value in TOLD.items():
        os.environ.setdefault(name, value)

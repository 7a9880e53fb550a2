"""How many compiled kernels torch may keep on a CPU.

Owns two bounds. oneDNN compiles a kernel for each shape of a product, and both it and torch keep the last
1,024 of them, each of some hundred KiB: a server that reads texts of all lengths grew by 1.7 MiB an answer.
Imports no torch: what is set here counts for the process that loads it afterwards.
"""

from __future__ import annotations

import os

CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""oneDNN's of its primitives, and torch's of what it has made ready to call them."""
KEPT = "96"
"""More than the shapes of reading (`model.runtime.fast_runtime`), so that none is compiled again."""


def keep_few_kernels() -> None:
    """From here on at most `KEPT` are kept. Call it before torch computes; what the user has set stands."""
    for cache in CACHES:
        os.environ.setdefault(cache, KEPT)

"""Collecting what no file holds any more: texts, terms and vectors kept for undo, beyond a cap.

Owns the cap and the order of removal. Called by the index writer at rest.
"""

from __future__ import annotations

from collections.abc import Callable

from indexer.store import IndexStore

KEPT_SHARE = 0.2
KEPT_AT_LEAST = 5_000
MOST_A_CALL = 20_000


def collect(store: IndexStore, is_present: Callable[[str], bool]) -> int:
    """Removes the oldest unused texts and vectors over the cap; returns how many digests went."""
    n_rows = store.count_digests()
    cap = max(KEPT_AT_LEAST, int(KEPT_SHARE * n_rows))
    unused = [digest for digest in store.oldest_digests() if not is_present(digest)]
    surplus = unused[: min(MOST_A_CALL, max(0, len(unused) - cap))]
    if surplus:
        with store.writing():
            store.forget(surplus)
    return len(surplus)

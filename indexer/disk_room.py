"""How much of the disk the database may take, and what goes when that is reached.

Owns the limit and the order: first texts and vectors that no file holds any more, then (of a database that
another limit let grow) dense memories; new files are not read. What is in the index goes on to be followed,
and completions go on. Called by the index writer only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from indexer.store import IndexStore

NO_LIMIT: Final = 1 << 62
NO_ROOM: Final = "no room in the index"
BYTES_A_BYTE: Final = 3
"""What a byte of source takes in the database at most, nearly: its text, its words, its keys."""
SMALLEST_FILE: Final = 4096
TOO_MUCH: Final = 1.1
"""Above so many times the limit the database is made smaller; up to it, it only does not grow."""


class DiskRoom:
    """Invariant: what `takes` allowed since the last look, and what is stored, fit the limit."""

    def __init__(self, store: IndexStore, most_bytes: int) -> None:
        self._store, self._most = store, most_bytes
        self._left = 0

    def look(self) -> None:
        """Asks the database how much is left; once for each batch."""
        self._left = self._most - live_bytes(self._store)

    @property
    def is_full(self) -> bool:
        """Whether nothing more fits, as of the last look."""
        return self._left <= 0

    def takes(self, n_source_bytes: int) -> bool:
        """Whether a new file of this size fits; from then on its room is taken."""
        needed = max(SMALLEST_FILE, n_source_bytes * BYTES_A_BYTE)
        if needed > self._left:
            return False
        self._left -= needed
        return True

    def reclaim(self, is_present: Callable[[str], bool], fuser_id: str | None) -> None:
        """Lets go what can be made again, if there is too little room: at rest, before files are refused."""
        self.look()
        if not self.is_full:
            return
        unused = [digest for digest in self._store.oldest_digests() if not is_present(digest)]
        with self._store.writing():
            self._store.forget(unused)
        self.look()
        if self._left < -(TOO_MUCH - 1) * self._most and fuser_id is not None:
            with self._store.writing():
                self._store.connection.execute("DELETE FROM vectors WHERE model_id = ?", (fuser_id,))
            self.look()
        if self._store.n_bytes > TOO_MUCH * self._most >= live_bytes(self._store):
            with suppress(sqlite3.OperationalError):  # it needs room of its own; the file then stays as large
                self._store.connection.execute("VACUUM")
                self._store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def live_bytes(store: IndexStore) -> int:
    """What the database holds; pages that were freed are used again before the file grows."""
    pages, free, size = (
        int(store.connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size

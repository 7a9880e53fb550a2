"""The index's SQLite file: each thread's connection, transactions, and what its errors mean.

Owns connections and the note that the file is damaged. Knows no table; those are `indexer.store`'s.
One thread writes (`writing`); any thread reads, each through its own connection.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from indexer.errors import IndexReadOnly, IndexUnwritable
from indexer.recovery import is_damage, unwritable

LONGEST_WAIT_S = 10
"""For another process that has the file locked: a backup, a virus scanner, a second server."""


class Database:
    """Invariant: what one transaction writes is seen whole or not at all; no connection is closed while
    another thread reads with it, which would end the process."""

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path, self.read_only = path, read_only
        self.damage = ""
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._at_rest = threading.Condition(self._lock)
        self._n_reading = 0
        self._closed = False

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's own."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._connect()
            self._local.connection = found
        return found

    @property
    def is_closed(self) -> bool:
        return self._closed

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rwc"
        with self._lock:
            if self._closed:
                raise sqlite3.ProgrammingError("the index is closed")
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=LONGEST_WAIT_S,
                isolation_level=None,
                check_same_thread=False,  # closed by whoever closes the store
            )
            self._connections.append(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA secure_delete = ON")  # what is forgotten leaves no bytes behind
        return connection

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows. For threads other than the one that closes; it waits for them."""
        with self._lock:
            if self._closed:
                raise sqlite3.ProgrammingError("the index is closed")
            self._n_reading += 1
        try:
            return self.connection.execute(sql, parameters).fetchall()
        finally:
            with self._lock:
                self._n_reading -= 1
                self._at_rest.notify_all()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Raises `IndexReadOnly` and `IndexUnwritable`."""
        if self.read_only:
            raise IndexReadOnly(f"{self.path} is written by another process; this one only reads it")
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self.note(error)
            if isinstance(error, sqlite3.OperationalError):
                raise IndexUnwritable(unwritable(self.path, error)) from error
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """All that is read within is of one moment, whoever writes meanwhile."""
        connection = self.connection
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")  # nothing was written; unlike COMMIT it cannot be refused

    def note(self, error: BaseException | None) -> None:
        """Remembers `error` if it means that the file is damaged. Any thread."""
        if is_damage(error):
            self.damage = self.damage or str(error)

    def close(self) -> None:
        """Closes every thread's connection, after the reads under way. Again is fine."""
        with self._lock:
            self._closed = True
            if not self._at_rest.wait_for(lambda: not self._n_reading, 2 * LONGEST_WAIT_S):
                return  # a disk that hangs: a leak rather than a crash
            for connection in self._connections:
                with suppress(sqlite3.Error):
                    connection.close()
            self._connections.clear()

"""Every call by which the index changes the disk, as a numbered step at which something can happen.

Owns the seams: statements of SQLite that write, and writes, renames and removals of files below one
folder. What happens there is the caller's: dying, an error, or only counting.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

DIED = 77
WRITES = ("BEGIN", "COMMIT", "INSERT", "DELETE", "UPDATE", "CREATE", "PRAGMA JOURNAL_MODE")
Act = Callable[[str], None]


class Steps:
    """Counts steps; `act` is called with the name of each that is due. Any thread."""

    def __init__(self, act: Act, is_due: Callable[[int], bool]) -> None:
        self.names: list[str] = []
        self._act, self._is_due = act, is_due
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, name: str) -> None:
        with self._lock:
            if self._closed:
                return
            self.names.append(name)
            due = self._is_due(len(self.names))
        if due:
            self._act(name)

    def end(self) -> None:
        """From here on nothing is due: the disk has room again."""
        with self._lock:
            self._closed = True


def die(name: str) -> None:
    """As by `kill -9`: nothing is flushed, closed or unlocked by us."""
    os._exit(DIED)


def no_space(name: str) -> None:
    if name.startswith("sql"):
        raise sqlite3.OperationalError("database or disk is full")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def denied(name: str) -> None:
    if name.startswith("sql"):
        raise sqlite3.OperationalError("attempt to write a readonly database")
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def busy(name: str) -> None:
    if name.startswith("sql"):
        raise sqlite3.OperationalError("database is locked")


def broken_disk(name: str) -> None:
    if name.startswith("sql"):
        raise sqlite3.OperationalError("disk I/O error")
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@contextmanager
def stepping(below: Path, steps: Steps, reads: bool = False) -> Iterator[Steps]:
    """Within, each write below the folder is a step before it happens and another after; with `reads`
    each statement that reads is one, too."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch("sqlite3.connect", _connecting(steps, reads)))
        for name in ("replace", "rename", "unlink", "mkdir", "write_text"):
            stack.enter_context(
                mock.patch.object(Path, name, _around(getattr(Path, name), name, below, steps))
            )
        stack.enter_context(mock.patch.object(Path, "open", _opening(Path.open, below, steps)))
        stack.enter_context(mock.patch("shutil.rmtree", _around(shutil.rmtree, "rmtree", below, steps)))
        stack.enter_context(mock.patch("numpy.savez", _saving(np.savez, steps)))
        yield steps


def _connecting(steps: Steps, reads: bool) -> Callable[..., sqlite3.Connection]:
    kinds = (*WRITES, "SELECT") if reads else WRITES

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
            return self._stepped(sql, super().execute, *more)

        def executemany(self, sql: str, *more: Any) -> sqlite3.Cursor:
            return self._stepped(sql, super().executemany, *more)

        def executescript(self, sql: str) -> sqlite3.Cursor:
            return self._stepped(sql, super().executescript)

        def _stepped(self, sql: str, run: Callable[..., Any], *more: Any) -> Any:
            words = sql.strip().upper()
            if not words.startswith(kinds):
                return run(sql, *more)
            name = "sql " + " ".join(sql.split()[:3])
            steps(name)
            result = run(sql, *more)
            if not words.startswith("SELECT") and steps._act is die:  # an error after the fact is no error
                steps(name + ", done")
            return result

    real = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return real(*arguments, **{"factory": Connection, **options})

    return connect


def _around(real: Callable[..., Any], name: str, below: Path, steps: Steps) -> Callable[..., Any]:
    def call(path: Any, *arguments: Any, **options: Any) -> Any:
        if not _is_below(path, below):
            return real(path, *arguments, **options)
        steps(f"{name} {Path(path).name}")
        result = real(path, *arguments, **options)
        if steps._act is die:
            steps(f"{name} {Path(path).name}, done")
        return result

    return call


def _opening(real: Callable[..., Any], below: Path, steps: Steps) -> Callable[..., Any]:
    def call(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wax+") and _is_below(path, below):
            steps(f"open {path.name}")
        return real(path, mode, *arguments, **options)

    return call


def _saving(real: Callable[..., None], steps: Steps) -> Callable[..., None]:
    """The file stands half written between its two steps."""

    def call(file: Any, **arrays: Any) -> None:
        whole = io.BytesIO()
        real(whole, **arrays)
        data = whole.getvalue()
        steps("save memory")
        file.write(data[: len(data) // 2])
        file.flush()
        steps("save memory, half")
        file.write(data[len(data) // 2 :])

    return call


def _is_below(path: Any, folder: Path) -> bool:
    return str(path).startswith(str(folder))

"""What is done with a database that cannot be used: told apart, moved aside, said.

Owns no connection; `indexer.store` decides when.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from indexer.errors import IndexDamaged


def move_aside(path: Path) -> Path:
    """Renames a damaged database to the first free ``*.corrupt-N``, and drops its log."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    try:
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise IndexDamaged(f"{path} is damaged and cannot be moved aside ({error}); delete it") from error
    return aside


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is at fault, not the disk or a permission."""
    words = str(error).lower()
    return (
        "malformed" in words or "not a database" in words or "no such" in words or "already exists" in words
    )


def unwritable(path: Path, error: Exception) -> str:
    """The message of `IndexUnwritable`."""
    return f"the index at {path} cannot be written ({error}); free space there or make it writable"


def scrub(connection: sqlite3.Connection) -> None:
    """Takes the vectors as well, and leaves no byte of anything that was deleted from the database."""
    connection.execute("DELETE FROM vectors")
    connection.execute("INSERT INTO lexicon (lexicon) VALUES ('optimize')")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

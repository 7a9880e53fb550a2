"""What is done with a database that cannot be used: told apart, moved aside, said.

Owns no connection; `indexer.store` decides when.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from indexer.errors import IndexDamaged

DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_NOTADB)
MOST_ASIDE = 2
"""Damaged databases that are kept for whoever wants to look; a later one takes the last's place."""


def move_aside(path: Path) -> Path:
    """Renames a damaged database to the first free ``*.corrupt-N``, and drops its log."""
    places = [path.with_name(f"{path.name}.corrupt-{number}") for number in range(1, MOST_ASIDE + 1)]
    aside = next((place for place in places if not place.exists()), places[-1])
    try:
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise IndexDamaged(f"{path} is damaged and cannot be moved aside ({error}); delete it") from error
    return aside


def is_damage(error: BaseException | None) -> bool:
    """Whether the file is at fault, not the disk or a permission."""
    if isinstance(error, UnicodeDecodeError):  # SQLite quotes a damaged schema, and Python cannot read that
        return True
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE_CODES:
        return True
    words = str(error).lower()
    return (
        "file format" in words
        or "malformed" in words
        or "not a database" in words
        or "no such" in words
        or "already exists" in words
        or "corrupt" in words
        or "constraint failed" in words
        or "could not decode" in words
    )


def unwritable(path: Path, error: Exception) -> str:
    """The message of `IndexUnwritable`."""
    if "locked" in str(error).lower():
        return f"the index at {path} is held by another program ({error}); end that, then change a file"
    return f"the index at {path} cannot be written ({error}); free space there or make it writable"


def scrub(connection: sqlite3.Connection) -> None:
    """Takes the vectors as well, and leaves no byte of anything that was deleted from the database."""
    connection.execute("DELETE FROM vectors")
    connection.execute("INSERT INTO lexicon (lexicon) VALUES ('optimize')")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

"""The database's schema, as numbered steps; a step once released is never edited.

``PRAGMA user_version`` holds the number of the last step taken.
"""

from __future__ import annotations

import sqlite3

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE files (
        path TEXT PRIMARY KEY,
        language TEXT,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,       -- -1 where the text is an unsaved buffer's
        content_digest TEXT NOT NULL,
        rank REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE chunks (
        path TEXT NOT NULL,
        ordinal INTEGER NOT NULL,
        start_line INTEGER NOT NULL,
        end_line INTEGER NOT NULL,
        n_tokens INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (path, ordinal)
    ) WITHOUT ROWID;
    CREATE INDEX chunks_by_digest ON chunks (digest);
    CREATE TABLE texts (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, text TEXT NOT NULL);
    CREATE VIRTUAL TABLE lexicon USING fts5 (
        terms, detail = 'column', tokenize = "unicode61 remove_diacritics 0 tokenchars '_'"
    );
    CREATE VIRTUAL TABLE lexicon_words USING fts5vocab (lexicon, row);
    CREATE TABLE vectors (
        digest TEXT NOT NULL,
        model_id TEXT NOT NULL,
        data BLOB NOT NULL,              -- as indexer.packed says, row-major
        UNIQUE (digest, model_id)
    );
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Takes every step that the database lacks, each in its own transaction."""
    (done,) = connection.execute("PRAGMA user_version").fetchone()
    for number in range(done, len(MIGRATIONS)):
        connection.executescript(f"BEGIN;{MIGRATIONS[number]}PRAGMA user_version = {number + 1};COMMIT;")

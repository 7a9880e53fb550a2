"""The index's database: SQLite is the only truth, all else is rebuilt from it.

Owns the tables, their identity, and recovery from damage; connections and transactions are
`indexer.database`'s. One thread writes (`writing`); any thread reads. Knows nothing of models:
vectors are arrays under ``(digest, model id)``.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from indexer.chunk import Chunk
from indexer.database import Database
from indexer.errors import IndexDamaged, IndexForeign, IndexNotReady, IndexUnwritable
from indexer.migrations import migrate
from indexer.packed import packed, unpacked
from indexer.private_files import make_private_file, make_private_folder
from indexer.recovery import is_damage, move_aside, scrub, unwritable
from indexer.source_files import SourceFile
from indexer.store_identity import StoreIdentity
from model.protocols import FloatArray

log = logging.getLogger(__name__)

DATABASE = "index.sqlite3"
MOST_POSTINGS = 4_000
"""Texts that one lexical search looks at; about 10 ms."""
MOST_PARAMETERS = 500
"""Of one statement; SQLite's own limit was 999 for long."""


@dataclass(frozen=True)
class StoredFile:
    """What is known of a file without its text."""

    path: str
    language: str | None
    size: int
    mtime_ns: int
    content_digest: str
    rank: float


class IndexStore:
    """Invariant: within one transaction the tables agree; between two, readers see the last whole one."""

    def __init__(self, path: Path, read_only: bool) -> None:
        """Use `open`."""
        self.path, self.read_only = path, read_only
        self.notes: list[str] = []
        self._database = Database(path, read_only)

    @staticmethod
    def open(directory: Path, identity: StoreIdentity, read_only: bool = False) -> IndexStore:
        """Opens or makes the database in `directory`.

        A damaged one is moved aside as ``*.corrupt-N`` and made anew; so is one of another
        identity, without a copy. Raises `IndexUnwritable` and `IndexDamaged`; where it may only be
        read `IndexNotReady` and `IndexForeign`.
        """
        path = directory / DATABASE
        try:
            if not read_only:
                make_private_folder(directory)
                make_private_file(path)
            return IndexStore._opened(path, identity, read_only)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if read_only:
                raise IndexNotReady(str(error)) from error
            if not is_damage(error):
                raise IndexUnwritable(unwritable(path, error)) from error
            return IndexStore._made_anew(path, identity, error)
        except OSError as error:
            raise IndexUnwritable(unwritable(path, error)) from error

    @staticmethod
    def _opened(path: Path, identity: StoreIdentity, read_only: bool) -> IndexStore:
        store = IndexStore(path, read_only)
        try:
            store._prepare(identity)
        except BaseException:
            store._database.close()
            raise
        return store

    @staticmethod
    def _made_anew(path: Path, identity: StoreIdentity, damage: Exception) -> IndexStore:
        aside = move_aside(path)
        try:
            fresh = IndexStore._opened(path, identity, read_only=False)
        except sqlite3.DatabaseError as error:
            raise IndexUnwritable(unwritable(path, error)) from error
        fresh.notes.append(f"the index was damaged ({damage}); it is made anew, the old one is {aside.name}")
        log.warning("%s", fresh.notes[-1])
        return fresh

    def _prepare(self, identity: StoreIdentity) -> None:
        if self.read_only:
            stored = self.meta("identity")
            if stored is None:
                raise IndexNotReady("it is being made")
            if stored != identity.text:
                raise IndexForeign(f"the index at {self.path} is of {stored}, not of {identity.text}")
            return
        connection = self.connection
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection)
        if self.meta("closed") == "0":
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(f"malformed: {verdict}")
        stored = self.meta("identity")
        if stored not in (None, identity.text):
            self.notes.append(f"the index was made anew: it was of {stored}, now {identity.text}")
            self._empty()
            if stored and not stored.endswith(identity.masking_text):
                scrub(self.connection)  # other rules covered fewer secrets
        with self.writing():
            self.set_meta("identity", identity.text)
            self.set_meta("closed", "0")

    def _empty(self) -> None:
        with self.writing() as connection:
            for table in ("files", "chunks", "texts", "lexicon"):
                connection.execute(f"DELETE FROM {table}")

    @property
    def connection(self) -> sqlite3.Connection:
        return self._database.connection

    @property
    def damage(self) -> str:
        """What was found broken since it was opened; empty where nothing was."""
        return self._database.damage

    def note(self, error: BaseException) -> None:
        """Remembers `error`, or what it came from, if it means damage. Any thread."""
        for each in (error, error.__cause__):
            self._database.note(each)

    def found_damaged(self, reason: str) -> IndexDamaged:
        """Notes damage that SQLite itself does not see; gives what to raise. Any thread."""
        self.note(sqlite3.DatabaseError(f"malformed: {reason}"))
        return IndexDamaged(f"{self.path} is damaged: {reason}; it is made anew at the next change")

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction: all of it or nothing. Raises `IndexReadOnly` and `IndexUnwritable`."""
        return self._database.writing()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """All that is read within is of one moment."""
        return self._database.reading()

    def close(self, clean: bool = True) -> None:
        """Closes every connection, and moves the file aside if it proved damaged. Again is fine."""
        if self._database.is_closed:
            return
        if clean and not self.read_only and not self.damage:
            with suppress(Exception), self.writing():
                self.set_meta("closed", "1")
        self._database.close()
        if self.damage and not self.read_only:
            log.warning("the index was damaged (%s); the next opening makes it anew", self.damage)
            with suppress(IndexDamaged):
                move_aside(self.path)

    # Small facts

    def meta(self, name: str) -> str | None:
        rows = self._database.read("SELECT value FROM meta WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set_meta(self, name: str, value: str) -> None:
        """Within `writing`."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @property
    def generation(self) -> int:
        """How many changes were committed."""
        return self.counter("generation")

    def counter(self, name: str) -> int:
        """A number that only grows: ``generation``, ``embedded``, ``encoded``, ``fused``."""
        return int(self.meta(name) or 0)

    def count(self, name: str, by: int) -> None:
        """Within `writing`."""
        self.set_meta(name, str(self.counter(name) + by))

    @property
    def n_bytes(self) -> int:
        """On disk, the log of uncommitted pages included."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    # Files and chunks

    def files(self) -> dict[str, StoredFile]:
        """All files by path."""
        rows = self.connection.execute(
            "SELECT path, language, size, mtime_ns, content_digest, rank FROM files"
        )
        return {row[0]: StoredFile(*row) for row in rows}

    def file(self, path: str) -> StoredFile | None:
        sql = "SELECT path, language, size, mtime_ns, content_digest, rank FROM files WHERE path = ?"
        row = self.connection.execute(sql, (path,)).fetchone()
        return None if row is None else StoredFile(*row)

    def rows(self) -> Iterator[tuple[str, str, int, int, int]]:
        """Every chunk as (path, digest, start_line, end_line, n_tokens), by path and order in the file."""
        sql = "SELECT path, digest, start_line, end_line, n_tokens FROM chunks ORDER BY path, ordinal"
        return self.connection.execute(sql)

    def rows_of(self, path: str) -> list[tuple[str, int, int, int]]:
        """A file's chunks in order as (digest, start_line, end_line, n_tokens)."""
        sql = "SELECT digest, start_line, end_line, n_tokens FROM chunks WHERE path = ? ORDER BY ordinal"
        return self._read(sql, (path,))

    def put_file(self, file: SourceFile, mtime_ns: int, chunks: Sequence[Chunk]) -> None:
        """Within `writing`: a file and its chunks in place of what was there."""
        self.delete_file(file.path)
        row = (file.path, file.language, file.size, mtime_ns, file.content_digest, file.rank)
        self.connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", row)
        self.connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)",
            [(c.path, i, c.start_line, c.end_line, c.n_tokens, c.digest) for i, c in enumerate(chunks)],
        )

    def touch_file(self, path: str, size: int, mtime_ns: int) -> None:
        """Within `writing`: the same text under another time stamp."""
        self.connection.execute(
            "UPDATE files SET size = ?, mtime_ns = ? WHERE path = ?", (size, mtime_ns, path)
        )

    def delete_file(self, path: str) -> None:
        """Within `writing`. Texts and vectors stay for undo, until `collect`."""
        self.connection.execute("DELETE FROM files WHERE path = ?", (path,))
        self.connection.execute("DELETE FROM chunks WHERE path = ?", (path,))

    def delete_all_files(self) -> None:
        """Within `writing`. Texts and vectors stay."""
        self.connection.execute("DELETE FROM files")
        self.connection.execute("DELETE FROM chunks")

    # Texts and terms

    def texts(self, digests: Sequence[str]) -> dict[str, str]:
        """Those of the chunk digests that are known."""
        return dict(self._select("SELECT digest, text FROM texts WHERE digest IN ({})", digests))

    def put_texts(self, texts: Iterable[tuple[str, str, str]]) -> None:
        """Within `writing`: (digest, text, terms) of chunks not stored yet."""
        for digest, text, terms in texts:
            cursor = self.connection.execute("INSERT INTO texts (digest, text) VALUES (?, ?)", (digest, text))
            self.connection.execute(
                "INSERT INTO lexicon (rowid, terms) VALUES (?, ?)", (cursor.lastrowid, terms)
            )

    def match(self, terms: Sequence[str], limit: int) -> list[tuple[str, float]]:
        """BM25 of `terms` over chunk texts: (digest, score), best first, larger is better.

        Rare terms first, as long as together they stand in at most `MOST_POSTINGS` texts: what is
        everywhere tells little and costs most.
        """
        rare = self._rare(terms)
        if not rare:
            return []
        query = " OR ".join(f'"{term}"' for term in rare)
        sql = (
            "SELECT t.digest, -m.score FROM (SELECT rowid, bm25(lexicon) AS score FROM lexicon "
            "WHERE lexicon MATCH ? ORDER BY score LIMIT ?) m JOIN texts t ON t.id = m.rowid ORDER BY m.score"
        )
        return [(str(digest), float(score)) for digest, score in self._read(sql, (query, limit))]

    def _rare(self, terms: Sequence[str]) -> list[str]:
        sql = "SELECT term, doc FROM lexicon_words WHERE term IN ({}) ORDER BY doc, term"
        counts = sorted(self._select(sql, list(dict.fromkeys(terms))), key=lambda row: (row[1], row[0]))
        postings = accumulate(count for _, count in counts)
        kept = [term for (term, _), n in zip(counts, postings, strict=True) if n <= MOST_POSTINGS]
        return kept or [term for term, _ in counts[:1]]

    # Vectors

    def vectors(self, digests: Sequence[str], model_id: str) -> dict[str, FloatArray]:
        """The flat vectors known of `digests`, float32."""
        sql = "SELECT digest, data FROM vectors WHERE digest IN ({}) AND model_id = ?"
        rows = self._select(sql, digests, (model_id,))
        return {digest: unpacked(data) for digest, data in rows}

    def with_vectors(self, digests: Sequence[str], model_id: str) -> set[str]:
        """Those of `digests` that have a vector."""
        sql = "SELECT digest FROM vectors WHERE digest IN ({}) AND model_id = ?"
        return {row[0] for row in self._select(sql, digests, (model_id,))}

    def count_vectors(self, model_id: str) -> int:
        (n,) = self.connection.execute(
            "SELECT count(*) FROM vectors WHERE model_id = ?", (model_id,)
        ).fetchone()
        return int(n)

    def put_vectors(self, model_id: str, digests: Sequence[str], vectors: FloatArray) -> None:
        """Within `writing`: row i of `vectors`, flattened, under ``(digests[i], model_id)``."""
        rows = [(digest, model_id, packed(vector)) for digest, vector in zip(digests, vectors, strict=True)]
        self.connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    # What nobody holds any more

    def count_digests(self) -> int:
        (n,) = self.connection.execute("SELECT count(DISTINCT digest) FROM vectors").fetchone()
        return int(n)

    def oldest_digests(self) -> Iterator[str]:
        """Every digest that has a vector, the longest kept first."""
        sql = "SELECT digest FROM vectors GROUP BY digest ORDER BY min(rowid)"
        return (row[0] for row in self.connection.execute(sql))

    def forget(self, digests: Sequence[str]) -> None:
        """Within `writing`: texts, terms and vectors of these."""
        for digest in digests:
            row = self.connection.execute("SELECT id FROM texts WHERE digest = ?", (digest,)).fetchone()
            if row is not None:
                self.connection.execute("DELETE FROM lexicon WHERE rowid = ?", row)
                self.connection.execute("DELETE FROM texts WHERE id = ?", row)
            self.connection.execute("DELETE FROM vectors WHERE digest = ?", (digest,))

    def _select(self, sql: str, digests: Sequence[str], more: tuple[str, ...] = ()) -> Iterator[Any]:
        for start in range(0, len(digests), MOST_PARAMETERS):
            part = tuple(digests[start : start + MOST_PARAMETERS])
            yield from self._read(sql.format(",".join("?" * len(part))), (*part, *more))

    def _read(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """What a keystroke may ask for: it meets damage before the writer does."""
        try:
            return self._database.read(sql, parameters)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            self.note(error)
            raise

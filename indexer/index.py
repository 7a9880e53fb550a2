"""The index of one workspace folder: opened, recovered, viewed, closed.

Owns the store, the state, the updater and the picture that is published. How a change is followed
is `indexer.updater`; what a reader sees is `indexer.view`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from indexer.chunker import CHUNKER_VERSION, TokenCounter
from indexer.disk_room import NO_LIMIT, NO_ROOM, DiskRoom
from indexer.errors import IndexForeign, IndexNotReady, IndexUnwritable
from indexer.following import IndexFollower
from indexer.fusing import Compute, FusingBacklog
from indexer.hnsw import HnswVectorStore
from indexer.private_files import FILE_MODE, make_private_folder
from indexer.recovery import unwritable
from indexer.report import UpdateReport
from indexer.source_files import SourceTree
from indexer.state import IndexState
from indexer.store import IndexStore
from indexer.store_identity import StoreIdentity
from indexer.suffix_index import SuffixSnapshot
from indexer.token_memory import EncodeBatch, TokenMemory
from indexer.updater import IndexUpdater
from indexer.view import IndexView
from model.protocols import Embedder, Fuser

__all__ = ["Compute", "Index", "IndexModels", "IndexStatus", "IndexView"]

MEMORY_SHARE = 4
"""The exact memory takes at most one part in so many of the memory that vectors may take."""


@dataclass(frozen=True)
class IndexModels:
    """What the index needs of the models. `tokenizer_id` names what `count_tokens` counts.

    `encode` gives the tokens of texts for the exact memory; None leaves it empty. With `fuse_missed_only`
    only chunks that a request missed get a memory.
    """

    embedder: Embedder
    fuser: Fuser | None
    count_tokens: TokenCounter
    tokenizer_id: str
    encode: EncodeBatch | None = None
    fuse_missed_only: bool = False


@dataclass(frozen=True)
class IndexStatus:
    """What the index holds and what it has cost since it was made.

    `embedded`: chunks through the embedder; `encoded`: chunks through the fuser; `fused`: parents
    through the fuser; `pending`: nodes that still wait for the fuser; `remembered`: tokens in the
    exact memory; `rejected`: reason -> how many
    entries are not read for it. Sizes in bytes.
    """

    generation: int
    files: int
    chunks: int
    nodes: int
    embedded: int
    encoded: int
    fused: int
    pending: int
    bytes_on_disk: int
    bytes_in_memory: int
    remembered: int
    store: str
    read_only: bool
    rejected: dict[str, int]
    index_notes: tuple[str, ...]
    last: UpdateReport | None


class Index:
    """Open it with `open`. `updater` belongs to one thread; `view` and `status` to any."""

    def __init__(
        self, directory: Path, store: IndexStore, lock: FileLock | None, tree: SourceTree,
        models: IndexModels, compute: Compute, fused_bytes: int, max_memory_bytes: int, max_disk_bytes: int,
    ) -> None:  # fmt: skip
        """Use `open`."""
        fuser = models.fuser if fused_bytes else None
        self._store, self._lock, self._fuser = store, lock, fuser
        room = DiskRoom(store, max_disk_bytes)
        self._state = IndexState(store, models.embedder.model_id, models.embedder.dimension, max_memory_bytes)
        self._backlog = (
            None
            if fuser is None or store.read_only
            else FusingBacklog(
                store,
                fuser,
                compute,
                self._state,
                fused_bytes,
                self._state.wishes,
                room,
                models.fuse_missed_only,
            )
        )
        self._state.wishes.are_granted = lambda: self._backlog is not None and not self._backlog.is_full
        self._memory = (
            TokenMemory(
                models.encode,
                max_memory_bytes // MEMORY_SHARE,
                directory,
                models.tokenizer_id,
                not store.read_only,
            )
            if models.encode
            else None
        )
        self.updater: IndexUpdater | IndexFollower = (
            IndexFollower(store, self._state, self._publish, self._memory)
            if store.read_only
            else IndexUpdater(
                store,
                self._state,
                tree,
                models.embedder,
                models.count_tokens,
                compute,
                self._backlog,
                self._publish,
                self._memory,
                room,
            )
        )

    @staticmethod
    def open(
        directory: Path,
        tree: SourceTree,
        models: IndexModels,
        compute: Compute,
        fused_bytes: int,
        max_memory_bytes: int,
        read_only: bool = False,
        max_disk_bytes: int = NO_LIMIT,
    ) -> Index:
        """Opens or makes the index in `directory`. With `read_only`, or where another process writes
        it, it is read and followed.

        Raises `indexer.errors.IndexProblem` with what to do.
        """
        lock = None if read_only else _claim(directory)
        try:
            limits = (fused_bytes, max_memory_bytes, max_disk_bytes)
            return Index._opened(directory, lock, tree, models, compute, limits)
        except BaseException:
            if lock is not None:
                lock.release()  # else this very process could only read it at the next try
            raise

    @staticmethod
    def _opened(
        directory: Path, lock: FileLock | None, tree: SourceTree, models: IndexModels,
        compute: Compute, limits: tuple[int, int, int],
    ) -> Index:  # fmt: skip
        """The second try finds what the first one moved aside made anew."""
        identity = StoreIdentity(CHUNKER_VERSION, models.tokenizer_id)
        notes: list[str] = []
        for is_last in (False, True):
            store = IndexStore.open(directory, identity, read_only=lock is None)
            store.notes += notes
            try:
                index = Index(directory, store, lock, tree, models, compute, *limits)
                index._load(models.embedder)
            except BaseException as error:
                store.note(error)
                store.close(clean=False)
                if is_last or not store.damage or store.read_only:
                    raise _named(directory, error) from error
                notes.append(f"the index was damaged ({store.damage}); it is made anew")
            else:
                return index
        raise AssertionError("the last try returns or raises")

    def _load(self, embedder: Embedder) -> None:
        stored_embedder = self._store.meta("embedder")
        if stored_embedder != embedder.model_id:
            if self._store.read_only and stored_embedder is None:
                raise IndexNotReady("it is being made")
            if self._store.read_only:
                raise IndexForeign(f"its keys are of {stored_embedder}, not of {embedder.model_id}")
            self._forget_files(embedder.model_id)
        self._load_state()
        if self._backlog is not None:
            self._backlog.follow(list(self._state.hierarchy.nodes()))
        self._publish(self.updater.generation)
        if self._memory is not None:
            self._memory.open(self._view)
            self._publish(self.updater.generation)

    def _load_state(self) -> None:
        try:
            with self._store.reading():
                self._state.load()
                self.updater.begin()
        except (LookupError, ValueError, TypeError) as error:
            raise self._store.found_damaged(f"its tables do not fit together ({error!r})") from error

    def _forget_files(self, embedder_id: str) -> None:
        """Of another embedder: chunks need new keys, so files are read again; texts and memories stay."""
        with self._store.writing():
            self._store.delete_all_files()
            self._store.set_meta("embedder", embedder_id)

    def _publish(self, generation: int) -> None:
        fuser = self._fuser
        shape = (fuser.n_vectors, fuser.dimension) if fuser else (0, 0)
        memory = SuffixSnapshot() if self._memory is None else self._memory.snapshot
        self._view = self._state.view(generation, fuser.model_id if fuser else None, shape, memory)

    def is_lost(self, error: BaseException | None = None) -> bool:
        """Whether the index must be opened again, for `error` or for what was met before."""
        if error is not None:
            self._store.note(error)
        return bool(self._store.damage) or self.updater.is_stale

    def on_wish(self, listener: Callable[[], None]) -> None:
        """Calls `listener`, in any thread, whenever a memory was missed."""
        self._state.wishes.on_wish = listener

    def view(self) -> IndexView:
        """The newest generation."""
        return self._view

    def status(self) -> IndexStatus:
        """Figures of now."""
        view, store, keys = self._view, self._store, self._state.keys
        return IndexStatus(
            generation=view.generation,
            files=len(view.files),
            chunks=view.hierarchy.root.n_chunks,
            nodes=len(view.hierarchy),
            embedded=store.counter("embedded"),
            encoded=store.counter("encoded"),
            fused=store.counter("fused"),
            pending=self.updater.pending(),
            bytes_on_disk=store.n_bytes,
            bytes_in_memory=keys.n_bytes + view.memory.n_bytes,
            remembered=view.memory.n_tokens,
            store="hnsw" if isinstance(keys, HnswVectorStore) else "exact",
            read_only=store.read_only,
            rejected=self.updater.rejections(),
            index_notes=(*store.notes, *self._state.notes, *self._notes_on_room()),
            last=self.updater.last,
        )

    def _notes_on_room(self) -> list[str]:
        notes, backlog = [], self._backlog
        if n_files := self.updater.rejections().get(NO_ROOM, 0):
            notes.append(
                f"the index takes the disk it may: {n_files} files are not in it; raise index.maxDiskMib, or "
                "exclude some and run the command hef.reindex"
            )
        if backlog is not None and backlog.is_full and backlog.n_waiting:
            notes.append(
                f"dense vectors take the disk they may: {backlog.n_waiting} nodes have none; "
                "raise index.maxFusedMib or index.maxDiskMib for more"
            )
        return notes

    def close(self) -> None:
        """Saves the exact memory, closes the database and lets another process write. Again is fine."""
        self._state.wishes.close()
        try:
            if self._memory is not None:
                self._memory.save()
        finally:
            self._store.close()
            if self._lock is not None:
                self._lock.release()


def _claim(directory: Path) -> FileLock | None:
    """The writer's lock; None where another process holds it. Raises `IndexUnwritable`."""
    try:
        make_private_folder(directory)
        lock = FileLock(directory / "writer.lock", timeout=0, mode=FILE_MODE, thread_local=False)
        lock.acquire()
    except Timeout:
        return None
    except (OSError, NotImplementedError) as error:  # a filesystem without locks
        raise IndexUnwritable(unwritable(directory, error)) from error
    return lock


def _named(directory: Path, error: BaseException) -> BaseException:
    """What SQLite says while the tables are read, as an error that says what to do."""
    if isinstance(error, sqlite3.DatabaseError):
        return IndexUnwritable(unwritable(directory, error))
    return error

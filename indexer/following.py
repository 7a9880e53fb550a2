"""A second process's updater: follows an index that another one writes, and writes nothing itself.

Owns what is known of each file's content and the catching up. It has the methods of
`indexer.updater.IndexUpdater`, so that whoever drives an index need not ask which of them it has.
Changes that it is given are not read: the writing process sees the same folder. One thread calls it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from indexer.report import UpdateReport
from indexer.source_files import FileChange
from indexer.state import IndexState
from indexer.store import IndexStore
from indexer.token_memory import TokenMemory
from indexer.view import FileFacts, IndexView
from model.protocols import CancelSignal, NeverCancelled


class IndexFollower:
    """Invariant: the state equals one built from the store at the generation that is published."""

    def __init__(
        self,
        store: IndexStore,
        state: IndexState,
        publish: Callable[[int], None],
        memory: TokenMemory | None,
    ) -> None:
        self._store, self._state = store, state
        self._publish, self._memory = publish, memory
        self._known: dict[str, str] = {}
        self._generation = 0
        self._file_id = _file_id(store)
        self._is_stale = False
        self.last: UpdateReport | None = None

    def begin(self) -> None:
        """The state was read from the store, in the transaction that is open."""
        self._known = {path: file.content_digest for path, file in self._store.files().items()}
        self._generation = self._store.generation

    @property
    def generation(self) -> int:
        """The one that is followed so far; the store may be ahead."""
        return self._generation

    @property
    def is_stale(self) -> bool:
        """Whether catching up failed, or the file under the same name is another by now."""
        return self._is_stale or _file_id(self._store) != self._file_id

    @property
    def is_behind(self) -> bool:
        """Whether the writer has committed more, or made the index anew. Any thread."""
        return self.is_stale or self._store.generation != self._generation

    def apply(self, changes: Sequence[FileChange]) -> UpdateReport:
        """Takes over what the writer has committed."""
        return self._catch_up()

    def scan(
        self,
        first: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
        cancel: CancelSignal | None = None,
    ) -> UpdateReport:
        """The same: the writer scans."""
        return self._catch_up()

    def remember(
        self, view: IndexView, first: Sequence[str] = (), cancel: CancelSignal | None = None
    ) -> None:
        """The exact memory is each process's own."""
        if self._memory is not None and self._memory.work(view, first, cancel or NeverCancelled()):
            self._publish(self._generation)

    def fuse_pending(
        self,
        max_batches: int | None = None,
        first: Sequence[str] = (),
        cancel: CancelSignal | None = None,
    ) -> UpdateReport:
        """The writer fuses; its memories are read from the store."""
        return UpdateReport(self._generation)

    def pending(self) -> int:
        return 0

    def unread(self) -> int:
        return 0 if self._memory is None else len(self._memory)

    def rejections(self) -> dict[str, int]:
        """The writer's to tell."""
        return {}

    def _catch_up(self) -> UpdateReport:
        self._is_stale = True  # until all of it was taken over
        with self._store.reading():
            generation = self._store.generation
            if generation != self._generation:
                shape = self._follow()
                if self._memory is not None:
                    self._memory.follow(shape)
                self._generation = generation
                self._publish(generation)
        self._is_stale = False
        self.last = UpdateReport(generation)
        return self.last

    def _follow(self) -> list[str]:
        stored = self._store.files()
        known = {path: file.content_digest for path, file in stored.items()}
        shape: dict[str, list[str] | None] = {path: None for path in self._known if path not in known}
        files: dict[str, FileFacts] = {}
        for path, digest in known.items():
            if self._known.get(path) != digest:
                rows = self._store.rows_of(path)
                shape[path] = [row[0] for row in rows]
                spans = np.array([row[1:] for row in rows], np.int64).reshape(-1, 3)
                files[path] = FileFacts(stored[path].language or "", stored[path].rank, spans)
        self._state.change(shape, files)
        self._known = known
        return list(shape)


def _file_id(store: IndexStore) -> tuple[int, int] | None:
    """Another one once the index was dropped and made anew under the same name."""
    with suppress(OSError):
        found = os.stat(store.path)  # noqa: PTH116 - both numbers at once
        return found.st_dev, found.st_ino
    return None

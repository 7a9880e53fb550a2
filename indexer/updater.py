"""The only writer of the index: changes in, a new generation out.

Owns the order of an update: read, cut, compare, embed, commit, publish; then, later and in small
steps, fuse. One thread calls it. Applying a change twice equals applying it once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from indexer.chunk import Chunk
from indexer.chunker import TokenCounter, chunk_source, diff_chunks
from indexer.collecting import collect
from indexer.disk_room import NO_LIMIT, NO_ROOM, DiskRoom
from indexer.fusing import Compute, FusingBacklog
from indexer.lexicon import identifier_terms
from indexer.report import UpdateReport
from indexer.source_files import FileChange, Rejected, SourceFile, SourceTree, is_text
from indexer.state import IndexState
from indexer.store import IndexStore
from indexer.token_memory import TokenMemory
from indexer.view import FileFacts, IndexView
from model.protocols import CancelSignal, Embedder, FloatArray, NeverCancelled

FILES_A_BATCH = 64
TEXTS_A_CALL = 32
OVERLAY_MTIME = -1
"""Stamps an unsaved buffer's text, so that a restart reads the disk again."""


@dataclass
class _Batch:
    """Changes read and compared, ready to be committed."""

    present: dict[str, tuple[SourceFile, list[Chunk]]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    touched: list[SourceFile] = field(default_factory=list)
    added: int = 0
    removed: int = 0
    kept: int = 0


class IndexUpdater:
    """Invariant: after each call the state equals one built from the store alone, or `is_stale` says
    that the index must be opened again."""

    def __init__(
        self,
        store: IndexStore,
        state: IndexState,
        tree: SourceTree,
        embedder: Embedder,
        count_tokens: TokenCounter,
        compute: Compute,
        backlog: FusingBacklog | None,
        publish: Callable[[int], None],
        memory: TokenMemory | None = None,
        room: DiskRoom | None = None,
    ) -> None:
        self._store, self._state, self._tree = store, state, tree
        self._embedder, self._count_tokens, self._compute = embedder, count_tokens, compute
        self._backlog, self._publish, self._memory = backlog, publish, memory
        self._room = room or DiskRoom(store, NO_LIMIT)
        self._rejected: dict[str, str] = {}
        self.last: UpdateReport | None = None
        self.is_stale = False
        self._generation = 0

    @property
    def is_behind(self) -> bool:
        """Never: it is this process that writes."""
        return False

    @property
    def _fuser_id(self) -> str | None:
        return None if self._backlog is None else self._backlog.fuser_id

    def begin(self) -> None:
        """The state was read from the store."""
        self._generation = self._store.generation

    @property
    def generation(self) -> int:
        """The last one committed; kept here, since a failing disk must not keep it from being published."""
        return self._generation

    def apply(self, changes: Sequence[FileChange]) -> UpdateReport:
        """Follows `changes`, the last of each path; one transaction, one generation, or nothing at all."""
        began_s = time.perf_counter()
        self._room.look()
        batch = self._read({change.path: change for change in changes})
        if not (batch.present or batch.gone):
            if batch.touched:
                with self._store.writing():
                    self._touch(batch)
            return self._reported(UpdateReport(self.generation, seconds=time.perf_counter() - began_s))
        keys = self._embed(batch)
        generation = self._commit(batch, keys)
        self._move_on(batch, generation)
        self.is_stale = False
        report = UpdateReport(
            generation,
            len(batch.present) + len(batch.gone),
            batch.added,
            batch.removed,
            batch.kept,
            len(keys),
            seconds=time.perf_counter() - began_s,
        )
        return self._reported(report)

    def _reported(self, report: UpdateReport) -> UpdateReport:
        self.last = report
        return report

    def _read(self, changes: Mapping[str, FileChange]) -> _Batch:
        batch = _Batch()
        for path, change in changes.items():
            stored = self._store.file(path) if is_text(path) else None
            source = self._source(change, stored is not None) if change.present else Rejected(path, "gone")
            self._note_rejection(path, source if change.present else None)
            if isinstance(source, Rejected):
                if stored is not None:
                    batch.gone.add(path)
                    batch.removed += len(self._state.hierarchy.chunk_ids(path))
            elif stored is not None and stored.content_digest == source.content_digest:
                if (stored.size, stored.mtime_ns) != (source.size, _mtime(source)):
                    batch.touched.append(source)
            else:
                self._cut(batch, source)
        return batch

    def _source(self, change: FileChange, is_stored: bool) -> SourceFile | Rejected:
        """Where the disk has no room, only what is stored or open is read."""
        needs_room = not is_stored and change.text is None
        if needs_room and self._room.is_full:
            return Rejected(change.path, NO_ROOM)
        source = self._tree.read(change)
        if needs_room and isinstance(source, SourceFile) and not self._room.takes(source.size):
            return Rejected(change.path, NO_ROOM)
        return source

    def rejections(self) -> dict[str, int]:
        """Reason -> how many files and other entries are not read for it. Any thread."""
        return dict(Counter(tuple(self._rejected.values())) + Counter(self._tree.counts.passed_over()))

    def _note_rejection(self, path: str, source: SourceFile | Rejected | None) -> None:
        if isinstance(source, Rejected):
            self._rejected[path] = source.reason
        else:
            self._rejected.pop(path, None)

    def _cut(self, batch: _Batch, source: SourceFile) -> None:
        chunks = chunk_source(source.path, source.language, source.text, self._count_tokens)
        hierarchy = self._state.hierarchy
        old = [hierarchy.node(node_id).digest for node_id in hierarchy.chunk_ids(source.path)]
        difference = diff_chunks(old, chunks)
        batch.present[source.path] = (source, chunks)
        batch.added += len(difference.added)
        batch.removed += len(difference.removed)
        batch.kept += difference.kept

    def _embed(self, batch: _Batch) -> dict[str, FloatArray]:
        texts = {chunk.digest: chunk.text for _, chunks in batch.present.values() for chunk in chunks}
        known = self._store.with_vectors(list(texts), self._embedder.model_id)
        missing = [digest for digest in texts if digest not in known]
        keys: dict[str, FloatArray] = {}
        for start in range(0, len(missing), TEXTS_A_CALL):
            part = missing[start : start + TEXTS_A_CALL]
            wanted = [texts[digest] for digest in part]
            keys.update(zip(part, self._compute(partial(self._embedder.embed, wanted)), strict=True))
        return keys

    def _commit(self, batch: _Batch, keys: Mapping[str, FloatArray]) -> int:
        chunks = {chunk.digest: chunk for _, cut in batch.present.values() for chunk in cut}
        unknown = chunks.keys() - self._store.texts(list(chunks)).keys()
        with self._store.writing():
            self._store.put_texts(
                (d, chunks[d].text, " ".join(identifier_terms(chunks[d].text))) for d in unknown
            )
            if keys:
                self._store.put_vectors(self._embedder.model_id, list(keys), np.stack(list(keys.values())))
            for source, cut in batch.present.values():
                self._store.put_file(source, _mtime(source), cut)
            for path in batch.gone:
                self._store.delete_file(path)
            self._touch(batch)
            self._store.count("embedded", len(keys))
            self._store.count("generation", 1)
            generation = self._store.generation
        self._generation = generation
        self.is_stale = True  # a failure from here to the publishing leaves the picture behind the store
        return generation

    def _touch(self, batch: _Batch) -> None:
        for source in batch.touched:
            self._store.touch_file(source.path, source.size, _mtime(source))

    def _move_on(self, batch: _Batch, generation: int) -> None:
        shape: dict[str, list[str] | None] = dict.fromkeys(batch.gone)
        files: dict[str, FileFacts] = {}
        for path, (source, chunks) in batch.present.items():
            shape[path] = [chunk.digest for chunk in chunks]
            spans = np.array([(c.start_line, c.end_line, c.n_tokens) for c in chunks], np.int64).reshape(
                -1, 3
            )
            files[path] = FileFacts(source.language or "", source.rank, spans)
        forgotten = self._digests_of(
            path for path in shape if self._room.is_full or self._is_ignored(path, batch)
        )
        came = self._state.change(shape, files)
        self._forget(forgotten)
        if self._backlog is not None:
            self._backlog.follow(came)
        if self._memory is not None:
            self._memory.follow(shape)
        self._publish(generation)

    def _is_ignored(self, path: str, batch: _Batch) -> bool:
        return path in batch.gone and self._tree.ignore.ignores(path, False)

    def _digests_of(self, paths: Iterable[str]) -> list[str]:
        hierarchy = self._state.hierarchy
        return [hierarchy.node(node_id).digest for path in paths for node_id in hierarchy.chunk_ids(path)]

    def _forget(self, digests: Sequence[str]) -> None:
        """What must not be read any more, or has no room, is not kept for undo."""
        unused = [digest for digest in digests if not self._state.is_present(digest)]
        if unused:
            with self._store.writing():
                self._store.forget(unused)

    def pending(self) -> int:
        """Memories still to be made."""
        return 0 if self._backlog is None else len(self._backlog)

    def unread(self) -> int:
        """Files that the exact memory has not read yet."""
        return 0 if self._memory is None else len(self._memory)

    def remember(
        self, view: IndexView, first: Sequence[str] = (), cancel: CancelSignal | None = None
    ) -> None:
        """Lets the exact memory read what it has not, files of `first` before the others."""
        if self._memory is not None and self._memory.work(view, first, cancel or NeverCancelled()):
            self._publish(self.generation)

    def fuse_pending(
        self,
        max_batches: int | None = None,
        first: Sequence[str] = (),
        cancel: CancelSignal | None = None,
    ) -> UpdateReport:
        """Encodes chunks that have no memory, those of `first` first, then fuses their ancestors upwards."""
        began_s = time.perf_counter()
        if self._backlog is None:
            return UpdateReport(self.generation)
        n_encoded, n_fused = self._backlog.work(max_batches, first, cancel or NeverCancelled())
        seconds = time.perf_counter() - began_s
        return UpdateReport(self.generation, encoded=n_encoded, fused=n_fused, seconds=seconds)

    def scan(
        self,
        first: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
        cancel: CancelSignal | None = None,
    ) -> UpdateReport:
        """Compares the disk with the store and follows the difference, neighbours of `first` first."""
        signal = cancel or NeverCancelled()
        total = UpdateReport(self.generation)
        seen, differing = self._differences(signal)
        if seen is None:
            return total
        self._room.reclaim(self._state.is_present, self._fuser_id)
        gone = [FileChange(path, present=False) for path in self._store.files() if path not in seen]
        done = 0
        for batch in _batches([*gone, *_nearest_first(differing, first)]):
            if signal.cancelled:
                return total
            total = total.plus(self.apply(batch))
            done += len(batch)
            if progress is not None:
                progress(done, len(gone) + len(differing))
        collect(self._store, self._state.is_present)
        return self._reported(total)

    def _differences(self, signal: CancelSignal) -> tuple[set[str] | None, list[FileChange]]:
        stored = self._store.files()
        seen: set[str] = set()
        differing: list[FileChange] = []
        for file in self._tree.scan():
            if signal.cancelled:
                return None, []
            seen.add(file.path)
            known = stored.get(file.path)
            if known is None or (known.size, known.mtime_ns) != (file.size, file.mtime_ns):
                differing.append(FileChange(file.path))
        return seen, differing


def _mtime(source: SourceFile) -> int:
    return OVERLAY_MTIME if source.overlay else source.mtime_ns


def _batches(changes: Sequence[FileChange]) -> Iterator[Sequence[FileChange]]:
    for start in range(0, len(changes), FILES_A_BATCH):
        yield changes[start : start + FILES_A_BATCH]


def _nearest_first(changes: Sequence[FileChange], first: Sequence[str]) -> list[FileChange]:
    """By the length of the way from the nearest path of `first`, then in the order of the walk."""
    places = [path.split("/")[:-1] for path in first]

    def distance(change: FileChange) -> int:
        folders = change.path.split("/")[:-1]
        return min((_steps(folders, place) for place in places), default=0)

    return sorted(changes, key=distance)


def _steps(a: Sequence[str], b: Sequence[str]) -> int:
    common = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return len(a) + len(b) - 2 * common

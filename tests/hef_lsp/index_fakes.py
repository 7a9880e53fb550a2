"""An index without a store: keeps what it is told, counts, and fails or waits where a test says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from indexer.report import UpdateReport
from indexer.source_files import FileChange, SourceFile, SourceTree

FILES_A_BATCH = 2


@dataclass(frozen=True)
class FakeStatus:
    generation: int
    files: int
    pending: int
    embedded: int
    fused: int


@dataclass
class FakeHierarchy:
    paths: frozenset[str]

    def node(self, node_id: str) -> str:
        folder = node_id.removeprefix("directory:") + "/"
        if not any(path.startswith(folder) for path in self.paths):
            raise KeyError(node_id)
        return node_id


@dataclass
class FakeView:
    generation: int
    texts: dict[str, str]

    @property
    def hierarchy(self) -> FakeHierarchy:
        return FakeHierarchy(frozenset(self.texts))


@dataclass
class FakeIndex:
    """Is its own updater. `poison` paths cannot be applied; `trouble` is raised by every step."""

    directory: Path
    tree: SourceTree
    compute: Callable
    fuse: bool
    texts: dict[str, str] = field(default_factory=dict)
    unfused: set[str] = field(default_factory=set)
    batches: list[list[str]] = field(default_factory=list)
    firsts: list[list[str]] = field(default_factory=list)
    fused: list[str] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)
    trouble: Exception | None = None
    stalls: bool = False
    seconds_a_batch: float = 0.0
    n_scans: int = 0
    n_taken: int = 0
    threads: set[str] = field(default_factory=set)
    closed: bool = False
    in_scan: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.updater = self
        self.generation = 0

    def view(self) -> FakeView:
        return FakeView(self.generation, dict(self.texts))

    def status(self) -> FakeStatus:
        return FakeStatus(self.generation, len(self.texts), len(self.unfused), self.n_taken, len(self.fused))

    def is_lost(self, error=None) -> bool:
        return False

    def on_wish(self, listener: Callable[[], None]) -> None:
        self.wish = listener

    def close(self) -> None:
        self.closed = True

    def apply(self, changes: Sequence[FileChange]) -> None:
        self._check()
        self.batches.append([change.path for change in changes])
        bad = self.poison & {change.path for change in changes}
        if bad:
            raise ValueError(f"cannot read {sorted(bad)[0]}")
        for change in changes:
            self._take(change)
        self.generation += 1

    def _take(self, change: FileChange) -> None:
        file = self.tree.read(change)
        self.texts.pop(change.path, None)
        self.unfused.discard(change.path)
        if isinstance(file, SourceFile):
            self.texts[change.path] = file.text
            self.n_taken += 1
            self.unfused |= {change.path} if self.fuse else set()

    def pending(self) -> int:
        return len(self.unfused)

    def unread(self) -> int:
        return 0

    def remember(self, view, first=(), cancel=None) -> None:
        """There is no exact memory in this fake."""

    def scan(self, first=(), progress=None, cancel=None) -> None:
        self._check()
        self.n_scans += 1
        self.firsts.append(list(first))
        found = [file.path for file in self.tree.scan()]
        new = [path for path in found if path not in self.texts]
        for path in set(self.texts) - set(found):
            self._take(FileChange(path, present=False))
        for start in range(0, len(new), FILES_A_BATCH):
            if cancel is not None and cancel.cancelled:
                return
            self.in_scan.set()
            time.sleep(self.seconds_a_batch)
            self.compute(lambda: None)
            for path in new[start : start + FILES_A_BATCH]:
                self._take(FileChange(path))
            if progress is not None:
                progress(min(start + FILES_A_BATCH, len(new)), len(new))
        self.generation += 1

    def fuse_pending(self, max_batches=None, first=(), cancel=None) -> UpdateReport:
        self._check()
        n_before = len(self.fused)
        for _ in range(max_batches or len(self.unfused)):
            if self.stalls or not self.unfused or (cancel is not None and cancel.cancelled):
                break
            time.sleep(self.seconds_a_batch)
            self.compute(lambda: self.fused.append(self.unfused.pop()))
        return UpdateReport(self.generation, encoded=len(self.fused) - n_before)

    def _check(self) -> None:
        self.threads.add(threading.current_thread().name)
        if self.trouble is not None:
            raise self.trouble


class FakeIndexes:
    """Opens `FakeIndex`es and keeps them; `trouble` is raised instead, `set_up` sees each new one."""

    def __init__(self, set_up: Callable[[FakeIndex], None] = lambda _: None) -> None:
        self.opened: list[FakeIndex] = []
        self.trouble: Exception | None = None
        self.set_up = set_up

    def __call__(
        self, directory, tree, models, compute, fused_bytes, max_memory_bytes, max_disk_bytes
    ) -> FakeIndex:
        if self.trouble is not None:
            raise self.trouble
        index = FakeIndex(directory, tree, compute, fused_bytes > 0)
        self.set_up(index)
        self.opened.append(index)
        return index

    @property
    def last(self) -> FakeIndex:
        return self.opened[-1]

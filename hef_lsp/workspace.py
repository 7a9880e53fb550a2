"""One workspace folder: its index, writer thread, watcher, unsaved buffers and pause.

Owns their lifetime, and what a change means: which text of a file counts, which changes touch the
whole folder. The thread is `hef_lsp.index_writer`, the place on disk `hef_lsp.index_directory`.

Any thread may call any public method; none of them waits for the index, except `wait_idle` and
`close`. A folder that cannot be read has a `message` and no view, and completions go on without.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hef_lsp.collector import settle
from hef_lsp.index_agenda import Step
from hef_lsp.index_directory import IndexDirectory
from hef_lsp.index_directory import stored_status as _stored_status
from hef_lsp.index_work import IndexParts, Work
from hef_lsp.index_writer import IndexWriter
from hef_lsp.places import index_directory
from hef_lsp.scheduling import InferenceLane, LanePriority
from hef_lsp.settings import Settings
from hef_lsp.ticker import Ticker
from indexer.ignoring import IGNORE_FILE_NAMES
from indexer.source_files import FileChange, SourceTree

if TYPE_CHECKING:
    from indexer.index import Compute, Index, IndexView
    from indexer.watcher import WorkspaceWatcher
    from model.bundle import ModelBundle

log = logging.getLogger(__name__)

T = TypeVar("T")
Status = dict[str, Any]
OPEN_FILES_ONLY = "-open-files"
FOLLOW_EVERY_S = 2.0
"""So often a second server looks for what the first one wrote; a look costs one small read."""
READY_WITHIN_S, READY_POLL_S = 5.0, 0.05
"""A second server that starts with the first one waits so long for it to make the index."""


class UnusableRoot(Exception):
    """The workspace folder cannot be read; the message says what to do."""


class OpensIndex(Protocol):
    """`indexer.index.Index.open`, for the models of a bundle."""

    def __call__(
        self,
        directory: Path,
        tree: SourceTree,
        models: IndexParts,
        compute: Compute,
        fused_bytes: int,
        max_memory_bytes: int,
        max_disk_bytes: int,
        read_only: bool = False,
    ) -> Index: ...


def stored_status(root: Path, cache_dir: Path | None) -> Status | None:
    """What the index of `root` held when last at rest, without opening it; None if there is none."""
    return _stored_status(root, cache_dir or index_directory())


class WorkspaceFolder:
    """The index of one folder, kept up to date until `close`.

    Invariant: an open document's text hides the file on disk, whatever the disk does meanwhile.
    With `settings.index.enabled` off only open documents are read.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        cache_dir: Path,
        lane: InferenceLane,
        on_status: Callable[[Status], None] | None = None,
        *,
        open_index: OpensIndex | None = None,
    ) -> None:
        self.root = root
        self._settings, self._cache_dir, self._lane = settings.index, cache_dir, lane
        self._on_status, self._open_with = on_status, open_index or _open_index
        self._lock = threading.Lock()
        self._overlays: dict[str, str] = {}
        self._models: IndexParts | None = None
        self._lets_go = False
        self._known_tree: SourceTree | None = None
        self._place: IndexDirectory | None = None
        self._watcher: WorkspaceWatcher | None = None
        self._root_problem = root_problem(root)
        self._following = Ticker(self._look_at_the_other, FOLLOW_EVERY_S, f"hef-follow {root.name}")
        work = Work(self._open, self._prepare, self._first, self._announce, scans=settings.index.enabled)
        self._writer = IndexWriter(work, lane, settings.index.quiet_ms / 1000, f"hef-index {root.name}")

    def attach_models(self, bundle: ModelBundle, fuse_missed_only: bool = False) -> None:
        """Opens the index for these models and begins to read the folder; again for other models."""
        self._lets_go |= self._models is not None and self._models.fuser is not None
        self._models = IndexParts.of(bundle, fuse_missed_only)
        self._writer.open()
        self._writer.start()

    @property
    def has_models(self) -> bool:
        return self._models is not None

    def overlay(self, path: str, text: str | None) -> None:
        """The text of an open document at `path` (relative, forward slashes); None when it was closed."""
        with self._lock:
            self._overlays.pop(path, None)
            if text is not None:
                self._overlays[path] = text  # the last one is the one worked on
        self._writer.enqueue([FileChange(path)])

    def notify(self, changes: Sequence[FileChange]) -> None:
        """Files or folders that changed on disk."""
        if self._settings.enabled:
            self._writer.enqueue(changes)

    def rescan(self) -> None:
        """Compares the whole folder with the index, as after an overflow of file events."""
        self._writer.scan()

    def reindex(self) -> None:
        """Drops the index and builds it anew."""
        self._writer.open(wipe=True)

    def pause(self, paused: bool) -> None:
        """Stops all work on the index, or goes on; changes are kept meanwhile."""
        self._writer.pause(paused)

    def watch(self, enabled: bool) -> None:
        """Watches the folder ourselves; only where the client does not."""
        if self._settings.enabled:
            self._writer.errand(self._start_watching if enabled else self._stop_watching)
            self._writer.start()

    def view(self) -> IndexView | None:
        """The index as it stands; None until it is open."""
        index = self._writer.index
        return index.view() if index is not None else None

    def status(self) -> Status:
        """State, progress, message, and the fields of `IndexStatus` once the index is open."""
        state, (done, total) = self._writer.state, self._writer.progress
        message = self._writer.problem or self._root_problem
        if self._root_problem and state == "ready":
            state = "error"
        elif self._models is None and state == "ready":
            state = "waiting for the model"
        figures, place = self._writer.figures(), self._place
        if state == Step.FUSE and self._models and self._models.fuse_missed_only and figures.get("pending"):
            state, done, total = "ready", 0, 0  # nobody waits for what comes with every other line
        report: Status = {"root": str(self.root), "state": state, "done": done, "total": total}
        notes = [*filter(None, [place and place.note]), *figures.pop("index_notes", ())]
        return {**report, "message": message, "notes": notes, **figures}

    def wait_idle(self, timeout: float | None) -> bool:
        """True once nothing is left to do (or can be, for a problem); False after `timeout` seconds
        (None: no limit), or when paused or closed first."""
        return self._writer.wait_idle(timeout)

    def close(self) -> None:
        """Ends the watcher and the thread, after the batch under way. Again is fine."""
        self._following.stop()
        ended = self._writer.close()
        self._stop_watching()
        if ended and self._place is not None:  # else the thread still writes there
            self._place.release()
            self._place = None

    # From here on: called by the writer thread.

    def _open(self, wipe: bool) -> Index:
        self._root_problem = root_problem(self.root)
        if self._root_problem:
            raise UnusableRoot(self._root_problem)
        parts, settings = self._models, self._settings
        assert parts is not None, "the writer opens only after attach_models"
        if self._lets_go:  # the fuser of the index that was open, and with slots a generator with it
            self._lets_go = False
            self._lane.submit(LanePriority.INDEX, settle)
        if self._place is None:
            purpose = "" if settings.enabled else OPEN_FILES_ONLY
            self._place = IndexDirectory.claim(self._cache_dir, self.root, purpose, share=settings.enabled)
        place, memory = self._place, settings.max_memory_mib << 20
        if not place.take_over():
            return self._follow(place, parts, memory)
        if wipe or not settings.enabled:  # what was open in an earlier session is not open now
            place.wipe()
        limits = (settings.fused_bytes, memory, settings.disk_bytes)
        index = self._open_with(place.index, self._tree(), parts, self._in_the_lane, *limits)
        self._writer.enqueue([FileChange(path) for path in self._first()])
        return index

    def _follow(self, place: IndexDirectory, models: IndexParts, memory: int) -> Index:
        """Another server's index; one of our own where that is of other models or another version."""
        from indexer.errors import IndexForeign, IndexNotReady

        settings = self._settings
        limits = (settings.fused_bytes, memory, settings.disk_bytes)
        parts = (self._tree(), models, self._in_the_lane, *limits)
        self._following.start()
        end_s = time.monotonic() + READY_WITHIN_S
        try:
            while True:
                try:
                    return self._open_with(place.index, *parts, read_only=True)
                except IndexNotReady:
                    if time.monotonic() > end_s:
                        raise  # the ticker tries again
                time.sleep(READY_POLL_S)
        except IndexForeign as error:
            log.info("%s; it gets an index of its own", error)
            self._place = IndexDirectory.claim(self._cache_dir, self.root)
            return self._open_with(self._place.index, *parts)

    def _look_at_the_other(self) -> bool:
        """Takes over when the other server has ended, else follows what it wrote. In the ticker's thread."""
        place, index = self._place, self._writer.index
        if place is None or place.writes:
            return False
        if place.take_over() or index is None:
            self._writer.open()
        elif index.updater.is_behind:
            self._writer.scan()
        return not place.writes

    def _in_the_lane(self, job: Callable[[], T]) -> T:
        return self._lane.run(LanePriority.INDEX, job)

    def _tree(self) -> SourceTree:
        if self._known_tree is None:
            settings = self._settings
            max_bytes = settings.max_file_kib << 10
            self._known_tree = SourceTree(self.root, settings.exclude, settings.max_files, max_bytes)
        return self._known_tree

    def _first(self) -> list[str]:
        """Open documents, the one worked on first."""
        with self._lock:
            return list(reversed(self._overlays))

    def _prepare(self, changes: list[FileChange]) -> tuple[list[FileChange], bool]:
        """What the updater is given for `changes`, and whether the whole folder must be compared."""
        prepared: list[FileChange] = []
        scan = False
        for change in changes:
            with self._lock:
                text = self._overlays.get(change.path)
            if text is not None:
                prepared.append(FileChange(change.path, text=text))
            elif not self._settings.enabled:
                prepared.append(FileChange(change.path, present=False))
            elif self._is_folder_news(change.path):
                scan = True
            else:
                prepared.append(change)
        if any(change.path.rpartition("/")[2] in IGNORE_FILE_NAMES for change in changes):
            self._tree().ignore.reload()
            scan = True
        return prepared, scan

    def _is_folder_news(self, path: str) -> bool:
        """Whether `path` is a folder that came or went: its files are not told one by one."""
        view = self.view()
        if view is None or self._tree().ignore.ignores(path, is_directory=True):
            return False
        try:
            view.hierarchy.node(f"directory:{path}")
            known = True
        except KeyError:
            known = False
        return known != (self._tree().root / path).is_dir()

    def _start_watching(self) -> None:
        from indexer.watcher import WorkspaceWatcher

        if self._watcher is not None:
            return
        tree, quiet_s = self._tree(), self._settings.quiet_ms / 1000
        self._watcher = WorkspaceWatcher(tree.root, tree.ignore, self.notify, quiet_s, self.rescan)
        self._watcher.start()
        if self._writer.index is not None:
            self._writer.scan()  # what changed before the watch began was not seen

    def _stop_watching(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()

    def _announce(self) -> None:
        report = self.status()
        if report["state"] == "ready" and self._place is not None:
            try:
                self._place.note_status(report)
            except OSError as error:
                log.debug("the status could not be kept: %s", error)
        if self._on_status is not None:
            self._on_status(report)


def root_problem(root: Path) -> str:
    """Why `root` cannot be a workspace folder and what to do; empty if it can."""
    try:
        with os.scandir(root):
            return ""
    except FileNotFoundError:
        return f"{root} does not exist; open an existing folder"
    except NotADirectoryError:
        return f"{root} is a file; open the folder that holds it"
    except OSError as error:
        return f"{root} cannot be read ({error.strerror or error}); allow reading it, or open another folder"


def _open_index(
    directory: Path,
    tree: SourceTree,
    models: IndexParts,
    compute: Compute,
    fused_bytes: int,
    max_memory_bytes: int,
    max_disk_bytes: int,
    read_only: bool = False,
) -> Index:
    from indexer.index import Index, IndexModels  # loads the store's libraries, so not with the server

    needed = IndexModels(
        models.embedder,
        models.fuser,
        models.count_tokens,
        models.tokenizer_id,
        models.encode,
        models.fuse_missed_only,
    )
    return Index.open(
        directory, tree, needed, compute, fused_bytes, max_memory_bytes, read_only, max_disk_bytes
    )

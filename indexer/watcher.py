"""Follows a workspace folder on disk and tells, after a short quiet, which files differ.

Owns coalescing, the choice of a source, and what a changed ignore file means. The sources
are `indexer.inotify` and `indexer.watch_sources`. Used only where the client does not
report changes itself.

Two threads: the source's, which only notes what happened, and ours, which calls back.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from indexer.ignoring import FOLDER_MARKERS, IGNORE_FILE_NAMES, IgnoreRules
from indexer.source_files import FileChange
from indexer.watch_sources import Emit, Happened, News, PollingSource, Source, WatchdogSource

logger = logging.getLogger(__name__)

# A file that is written all the time must not hold back the others for ever.
_MOST_WAIT_S = 2.0
_POLL_S = 2.0

MakeSource = Callable[[Path, IgnoreRules, Emit, Callable[[OSError], None]], Source]


def native_source(
    root: Path, ignore: IgnoreRules, emit: Emit, on_failure: Callable[[OSError], None]
) -> Source:
    """The source that suits this system."""
    if platform.system() == "Linux":
        from indexer.inotify import InotifySource

        return InotifySource(root, ignore, emit, on_failure)
    return WatchdogSource(root, ignore, emit)


class WorkspaceWatcher:
    """Calls `on_changes` with at most one change a path, the latest, from a thread of its own.

    Where files cannot be told one by one (a folder moved away, events lost, other ignore
    rules) it calls `on_rescan`; without one, `on_changes` gets the folder's path as gone.
    Ignore rules are reloaded here. `start` and `stop` may be called again and again.
    """

    def __init__(
        self,
        root: Path,
        ignore: IgnoreRules,
        on_changes: Callable[[list[FileChange]], None],
        quiet_s: float,
        on_rescan: Callable[[], None] | None = None,
        make_source: MakeSource = native_source,
    ) -> None:
        self._root = Path(os.path.realpath(root))
        self._ignore = ignore
        self._on_changes = on_changes
        self._on_rescan = on_rescan
        self._quiet_s = quiet_s
        self._make_source = make_source
        self._source: Source | None = None
        self._thread: threading.Thread | None = None
        self._condition = threading.Condition()
        self._reset()

    def _reset(self) -> None:
        self._running = False
        self._files: dict[str, bool] = {}
        self._lost: set[str] = set()
        self._rules_changed = False
        self._failure: OSError | None = None
        self._first_s = self._last_s = 0.0

    def start(self) -> None:
        """Begins to watch; what happened before is not reported. Falls back to polling."""
        if self._thread is not None:
            return
        self._reset()
        self._running = True
        source = self._make_source(self._root, self._ignore, self._note, self._note_failure)
        try:
            source.start()
        except OSError as error:
            source = self._poll_instead(error)
        self._source = source
        self._thread = threading.Thread(target=self._run, name="hef-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends and joins both threads; what is not yet reported is dropped."""
        with self._condition:
            self._running = False
            self._condition.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        source, self._source = self._source, None
        if source is not None:
            source.stop()

    def __enter__(self) -> WorkspaceWatcher:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # From here on: called by the source's thread.

    def _note(self, event: Happened) -> None:
        folder, _, name = event.path.rpartition("/")
        is_rule = name in IGNORE_FILE_NAMES or name in FOLDER_MARKERS
        if event.news is News.LOST:
            ignored = self._ignore.ignores(event.path, True)
        else:
            ignored = self._ignore.ignores(event.path, False) and not (
                is_rule and not self._ignore.ignores(folder, True)
            )
        if ignored:
            return
        with self._condition:
            if is_rule:
                self._rules_changed = True
            if name in FOLDER_MARKERS or event.news is News.LOST:
                self._lost.add(folder if name in FOLDER_MARKERS else event.path)
            else:
                # Last, so that the order is that of the latest news.
                self._files.pop(event.path, None)
                self._files[event.path] = event.news is News.CHANGED
            self._wake()

    def _note_failure(self, error: OSError) -> None:
        with self._condition:
            self._failure = error
            self._lost.add("")
            self._wake()

    def _wake(self) -> None:
        self._last_s = time.monotonic()
        self._first_s = self._first_s or self._last_s
        self._condition.notify_all()

    # From here on: called by our own thread, and by `start` before it exists.

    def _run(self) -> None:
        while self._wait_for_quiet():
            with self._condition:
                files, lost, rules_changed = self._files, self._lost, self._rules_changed
                failure = self._failure
                self._files, self._lost, self._rules_changed, self._failure = {}, set(), False, None
                self._first_s = 0.0
            try:
                self._report(files, lost, rules_changed, failure)
            except Exception:  # the edge of the thread: one failed batch must not end the watching
                logger.exception(
                    "A batch of file changes was not taken up; reindex if something seems missing"
                )

    def _wait_for_quiet(self) -> bool:
        """True when there is something to report and it has been quiet long enough; False to end."""
        with self._condition:
            while self._running:
                if not self._first_s:
                    self._condition.wait()
                    continue
                now = time.monotonic()
                due = min(self._last_s + self._quiet_s, self._first_s + max(_MOST_WAIT_S, self._quiet_s))
                if now >= due:
                    return True
                self._condition.wait(due - now)
            return False

    def _report(
        self, files: dict[str, bool], lost: set[str], rules_changed: bool, failure: OSError | None
    ) -> None:
        if failure is not None and self._source is not None:
            self._source.stop()
            self._source = self._poll_instead(failure)
        if rules_changed:
            self._ignore.reload()
            if self._source is not None:
                self._source.resync()
        changes = [FileChange(path, present) for path, present in files.items()]
        if self._on_rescan is None:
            changes += [FileChange(path, present=False) for path in sorted(lost)]
        if changes:
            self._on_changes(changes)
        if self._on_rescan is not None and (lost or rules_changed):
            self._on_rescan()

    def _poll_instead(self, error: OSError) -> Source:
        logger.warning(
            "The system does not report file changes (%s): looking at the files every few seconds instead; "
            "raise its limit of watches (fs.inotify.max_user_watches) to be told at once",
            error.strerror or error,
        )
        source = PollingSource(self._root, self._ignore, self._note, _POLL_S)
        source.start()
        return source

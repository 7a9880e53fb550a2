"""Where news of the disk comes from: the word for one piece of it, and two sources that work anywhere.

Owns `Happened`, the protocol of a source, polling, and the adapter to watchdog, which is
used where the system reports a whole tree at once (macOS, Windows). Linux has a source of
its own, `indexer.inotify`. Coalescing is `indexer.watcher`.

Polling is ours rather than watchdog's: that one follows links, recurses, and looks into
ignored folders at every turn.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from indexer.ignoring import IgnoreRules

# Polling takes at most this share of one processor.
_MOST_POLLING = 0.05


class News(Enum):
    """CHANGED and GONE are of files; LOST: something in this folder, nobody can say which files."""

    CHANGED = "changed"
    GONE = "gone"
    LOST = "lost"


@dataclass(frozen=True)
class Happened:
    """`path` is workspace-relative with forward slashes; "" is the workspace itself."""

    path: str
    news: News


Emit = Callable[[Happened], None]


class Source(Protocol):
    """Tells what happens below a folder, from a thread of its own, between `start` and `stop`."""

    def start(self) -> None:
        """Raises OSError if the system refuses."""
        ...

    def stop(self) -> None:
        """Ends and joins the thread; may be called again, and before `start`."""
        ...

    def resync(self) -> None:
        """The ignore rules have changed."""
        ...


def walk(
    root: Path, ignore: IgnoreRules, folder: str, on_folder: Callable[[str], None] | None = None
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """`folder` and every folder below it that is not ignored, each with the entries of its files.

    Calls `on_folder` with each folder before it is listed. Never follows links; what
    vanishes or may not be entered is passed over.
    """
    stack = [folder]
    while stack:
        here = stack.pop()
        if on_folder is not None:
            on_folder(here)
        try:
            with os.scandir(root / here) as listing:
                entries = [entry for entry in listing if _is_utf8(entry.name) and not entry.is_symlink()]
            files = [entry for entry in entries if not entry.is_dir(follow_symlinks=False)]
            inner = [joined(here, entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        stack.extend(path for path in inner if not ignore.ignores_entry(path, True))
        yield here, files


def joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


class PollingSource:
    """Looks at every file again and again: the last resort, for file systems that report nothing.

    Pauses `interval_s` between two looks, longer where a look takes long.
    """

    def __init__(self, root: Path, ignore: IgnoreRules, emit: Emit, interval_s: float) -> None:
        self._root = root
        self._ignore = ignore
        self._emit = emit
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        known = self._snapshot()
        self._thread = threading.Thread(target=self._run, args=(known,), name="hef-poll", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def resync(self) -> None:
        """Nothing to do: the next look obeys the new rules."""

    def _run(self, known: dict[str, tuple[int, int, int]]) -> None:
        interval_s = self._interval_s
        while not self._ended.wait(interval_s):
            start = time.monotonic()
            present = self._snapshot()
            interval_s = max(self._interval_s, (time.monotonic() - start) / _MOST_POLLING)
            for path in known.keys() - present.keys():
                self._emit(Happened(path, News.GONE))
            for path, state in present.items():
                if known.get(path) != state:
                    self._emit(Happened(path, News.CHANGED))
            known = present

    def _snapshot(self) -> dict[str, tuple[int, int, int]]:
        states = {}
        for folder, files in walk(self._root, self._ignore, ""):
            for entry in files:
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISREG(found.st_mode):
                    path = joined(folder, entry.name)
                    states[path] = (found.st_mtime_ns, found.st_size, found.st_ino)
            if self._ended.is_set():
                break
        return states


class WatchdogSource:
    """Watchdog's observer for this system, over the whole tree at once."""

    def __init__(self, root: Path, ignore: IgnoreRules, emit: Emit) -> None:
        self._root = root
        self._ignore = ignore
        self._emit = emit
        self._observer = Observer()
        self._started = False

    def start(self) -> None:
        self._observer.schedule(_Handler(self._take), str(self._root), recursive=True)
        self._observer.start()
        self._started = True

    def stop(self) -> None:
        if self._started:
            self._started = False
            self._observer.stop()
            self._observer.join()

    def resync(self) -> None:
        """Nothing to do: everything is reported, and what is ignored is dropped later."""

    def _take(self, event: FileSystemEvent) -> None:
        source, target = self._relative(event.src_path), self._relative(event.dest_path)
        if event.event_type in ("deleted", "moved") and source is not None:
            self._emit(Happened(source, News.LOST if event.is_directory else News.GONE))
        if event.event_type in ("created", "modified", "closed") and source is not None:
            self._appeared(source, event.is_directory, event.event_type == "created")
        if event.event_type == "moved" and target is not None:
            self._appeared(target, event.is_directory, True)

    def _appeared(self, path: str, is_directory: bool, is_new: bool) -> None:
        if not is_directory:
            self._emit(Happened(path, News.CHANGED))
        elif is_new and not self._ignore.ignores(path, True):
            for folder, files in walk(self._root, self._ignore, path):
                for entry in files:
                    self._emit(Happened(joined(folder, entry.name), News.CHANGED))

    def _relative(self, path: str | bytes) -> str | None:
        if not path:
            return None
        try:
            relative = Path(os.fsdecode(path)).relative_to(self._root).as_posix()
        except ValueError:
            return None
        return ("" if relative == "." else relative) if _is_utf8(relative) else None


class _Handler(FileSystemEventHandler):
    def __init__(self, take: Callable[[FileSystemEvent], None]) -> None:
        self._take = take

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._take(event)

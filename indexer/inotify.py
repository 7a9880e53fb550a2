"""News of the disk on Linux, from folders that are not ignored and from no others.

Owns the inotify descriptor and which folders are watched. Written against the kernel's
interface (inotify(7)) and not with watchdog's observer: a recursive watch there covers
node_modules and .git too (tens of thousands of watches, a system-wide resource), and
one watch a folder costs a thread each.

A watch is set before its folder is listed, so nothing falls between; what is seen twice
is harmless.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from indexer.ignoring import IgnoreRules
from indexer.watch_sources import Emit, Happened, News, joined, walk

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x8, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _IGNORED, _IS_FOLDER = 0x4000, 0x8000, 0x4000_0000
_ONLY_FOLDERS, _NO_LINKS, _NO_UNLINKED = 0x0100_0000, 0x0200_0000, 0x0400_0000
_WATCHED = (
    _CLOSE_WRITE
    | _MOVED_FROM
    | _MOVED_TO
    | _CREATE
    | _DELETE
    | _DELETE_SELF
    | _MOVE_SELF
    | _ONLY_FOLDERS
    | _NO_LINKS
    | _NO_UNLINKED
)
_HEADER = struct.Struct("iIII")
_BUFFER_BYTES = 256 * 1024
# The limits of the system (fs.inotify.max_user_watches, max_user_instances), or memory.
_REFUSALS = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class InotifySource:
    """Watches every folder that is not ignored. One thread reads; `resync` may come from another.

    `on_failure` is called once, from the thread that met it, when the system refuses a
    watch after the start; what happens from then on may be missed.
    """

    def __init__(
        self, root: Path, ignore: IgnoreRules, emit: Emit, on_failure: Callable[[OSError], None]
    ) -> None:
        self._root = root
        self._ignore = ignore
        self._emit = emit
        self._on_failure = on_failure
        self._failed = False
        self._lock = threading.Lock()
        self._folders: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1
        self._wake: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    @property
    def n_watches(self) -> int:
        """How many folders are watched."""
        return len(self._watches)

    def start(self) -> None:
        try:
            self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        except AttributeError as error:  # a C library without inotify
            raise OSError(errno.ENOSYS, "no inotify on this system") from error
        if self._descriptor < 0:
            raise _last_error()
        self._wake = os.pipe()
        try:
            self._add_tree("", announce=False)
        except OSError:
            self.stop()
            raise
        self._thread = threading.Thread(target=self._run, name="hef-inotify", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._wake is None:
            return
        os.write(self._wake[1], b"x")
        if self._thread is not None:
            self._thread.join()
        for descriptor in (self._descriptor, *self._wake):
            os.close(descriptor)
        self._wake = None

    def resync(self) -> None:
        """Watches what is no longer ignored, and leaves what now is."""
        for folder in list(self._watches):
            if folder and self._ignore.ignores(folder, True):
                self._remove(folder)
        self._try_add_tree("", announce=False)

    def _run(self) -> None:
        assert self._wake is not None
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        poller.register(self._wake[0], select.POLLIN)
        while not any(ready == self._wake[0] for ready, _ in poller.poll()):
            try:
                data = os.read(self._descriptor, _BUFFER_BYTES)
            except BlockingIOError:
                continue
            for watch, mask, name in _events(data):
                self._take(watch, mask, name)

    def _take(self, watch: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._emit(Happened("", News.LOST))
            self._try_add_tree("", announce=False)
            return
        with self._lock:
            folder = self._folders.get(watch)
            if mask & _IGNORED and folder is not None:
                self._forget(folder)
        if folder is None:
            return
        if mask & (_DELETE_SELF | _MOVE_SELF):
            # Of an inner folder the one above tells more.
            if not folder:
                self._emit(Happened("", News.LOST))
        elif mask & _IS_FOLDER:
            self._take_folder(joined(folder, name), mask)
        elif mask & (_CREATE | _CLOSE_WRITE | _MOVED_TO):
            self._emit(Happened(joined(folder, name), News.CHANGED))
        elif mask & (_DELETE | _MOVED_FROM):
            self._emit(Happened(joined(folder, name), News.GONE))

    def _take_folder(self, path: str, mask: int) -> None:
        """A folder removed tells nothing new: each of its files was reported by its own watch."""
        if mask & (_CREATE | _MOVED_TO):
            if not self._ignore.ignores(path, True):
                self._try_add_tree(path, announce=True)
        elif mask & _MOVED_FROM:
            # It may live on elsewhere with its watches, under a name we cannot know.
            for folder in [known for known in list(self._watches) if f"{known}/".startswith(f"{path}/")]:
                self._remove(folder)
            self._emit(Happened(path, News.LOST))

    def _try_add_tree(self, folder: str, announce: bool) -> None:
        try:
            self._add_tree(folder, announce)
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._on_failure(error)

    def _add_tree(self, folder: str, announce: bool) -> None:
        """Watches `folder` and all below it; with `announce`, tells of every file that is there."""
        for here, files in walk(self._root, self._ignore, folder, self._add):
            for entry in files if announce else ():
                self._emit(Happened(joined(here, entry.name), News.CHANGED))

    def _add(self, folder: str) -> None:
        """Raises OSError if the system has no more watches, or none for the workspace itself."""
        path = os.fsencode(self._root / folder)
        with self._lock:
            watch = self._libc.inotify_add_watch(self._descriptor, path, _WATCHED)
            if watch >= 0:
                self._folders[watch] = folder
                self._watches[folder] = watch
                return
        error = _last_error()
        if not folder or error.errno in _REFUSALS:
            raise error

    def _remove(self, folder: str) -> None:
        with self._lock:
            watch = self._forget(folder)
            if watch is not None:
                self._libc.inotify_rm_watch(self._descriptor, watch)

    def _forget(self, folder: str) -> int | None:
        watch = self._watches.pop(folder, None)
        if watch is not None:
            self._folders.pop(watch, None)
        return watch


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Watch, mask and name of each event; names that are no UTF-8 are left out with their event."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        watch, mask, _cookie, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        name = data[offset : offset + length].rstrip(b"\0")
        offset += length
        try:
            yield watch, mask, name.decode("utf-8")
        except UnicodeDecodeError:
            continue

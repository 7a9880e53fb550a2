"""Where one workspace's index lies, and who holds it: a folder, a lock, a note of the last status.

Owns the layout below the cache folder: ``HASH/workspace.json`` (whose it is), ``HASH/status.json``
(what it held when last at rest; a copy for people, never read back as truth), ``HASH/index/`` (the
index's own), ``HASH.lock``. Who holds the lock writes; a second server reads the same index and
may take over (`docs/decisions/0012`). One that cannot read it, being of other models, takes ``HASH-2``.
Where nothing can be kept or locked, the index lies in a temporary folder until the server ends.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from indexer.private_files import FILE_MODE, make_private_folder, open_private, tighten_folder

log = logging.getLogger(__name__)

MOST_COPIES = 8
SHARED = "another server writes this folder's index; this one follows it, and takes over when that ends"


class IndexPlaceError(Exception):
    """No folder for the index; the message says what to do."""


@dataclass
class IndexDirectory:
    """A folder that this process alone writes, if `writes`, until `release`. `note` is for the user."""

    path: Path
    writes: bool
    note: str = ""
    _lock: FileLock | None = None
    _is_private: bool = field(default=False, kw_only=True)

    @staticmethod
    def claim(cache_dir: Path, root: Path, purpose: str = "", share: bool = False) -> IndexDirectory:
        """The folder for `root`; `purpose` keeps indexes of different kinds apart.

        With `share` one that another server writes may be the answer, to be read; else the first free
        one. Raises `IndexPlaceError` if too many servers hold one, or not even a temporary folder can
        be made.
        """
        try:
            if (
                not cache_dir.exists()
            ):  # one that is there may be shared on purpose; what we make in it is not
                make_private_folder(cache_dir)
            for path in _candidates(cache_dir, root, purpose):
                lock = _acquired(_lock_path(path))
                if lock is not None:
                    return IndexDirectory(_marked(path, root, lock), True, _lock=lock)
                if share:
                    return IndexDirectory(path, False, SHARED)
        except (OSError, NotImplementedError) as error:
            return _private(cache_dir, root, error)
        raise IndexPlaceError(f"{MOST_COPIES} other servers hold an index of {root}; end some of them")

    def take_over(self) -> bool:
        """Whether this process writes now, since nobody else does any more. Again is fine."""
        if not self.writes:
            with suppress(OSError, NotImplementedError):
                self._lock = _acquired(_lock_path(self.path))
            self.writes = self._lock is not None
            self.note = "" if self.writes else SHARED
        return self.writes

    @property
    def index(self) -> Path:
        return self.path / "index"

    def wipe(self) -> None:
        """Removes the index. Nobody may have it open."""
        if self.index.exists():
            shutil.rmtree(self.index)

    def note_status(self, report: Mapping[str, Any]) -> None:
        """Keeps `report` for `stored_status`. Raises OSError."""
        _write_json(self.path / "status.json", report)

    def release(self) -> None:
        """Lets another process write; nothing of a temporary folder is left."""
        if self._lock is not None:
            self._lock.release()
        if self._is_private:
            shutil.rmtree(self.path, ignore_errors=True)


def _acquired(path: Path) -> FileLock | None:
    """The lock, or None where another process holds it."""
    lock = FileLock(path, timeout=0, mode=FILE_MODE, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _marked(path: Path, root: Path, lock: FileLock) -> Path:
    """`path`, made and named after `root`; on failure the lock is free again."""
    try:
        make_private_folder(path)
        tighten_folder(path)
        _write_json(path / "workspace.json", {"root": str(root)})
    except BaseException:
        lock.release()
        raise
    return path


def _private(cache_dir: Path, root: Path, error: Exception) -> IndexDirectory:
    """On a disk that is full, read-only or without locks the server works on, for this session."""
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    advice = "make it writable or choose another with --cache-dir"
    try:
        path = Path(tempfile.mkdtemp(prefix="hef-lsp-index-"))
        _write_json(path / "workspace.json", {"root": str(root)})
    except OSError:
        raise IndexPlaceError(f"no index can be kept in {cache_dir}: {why}; {advice}") from error
    note = f"no index can be kept in {cache_dir} ({why}): this one is lost when the server ends; {advice}"
    log.warning("%s", note)
    return IndexDirectory(path, True, note, _is_private=True)


def stored_status(root: Path, cache_dir: Path) -> dict[str, Any] | None:
    """What the newest index of `root` held when it was last at rest; None if there is none."""
    notes = [path / "status.json" for path in _candidates(cache_dir, root, "")]
    for note in sorted(filter(Path.is_file, notes), key=lambda path: -path.stat().st_mtime_ns):
        try:
            report = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # torn by a crash; an older one may be whole
        if isinstance(report, dict):
            return report
    return None


def _candidates(cache_dir: Path, root: Path, purpose: str) -> Iterator[Path]:
    name = blake2b(os.fsencode(os.path.realpath(root)), digest_size=8).hexdigest() + purpose
    for copy in range(1, MOST_COPIES + 1):
        yield cache_dir / (name if copy == 1 else f"{name}-{copy}")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all: readers never see half a file."""
    draft = path.with_name(path.name + ".new")
    with open_private(draft) as file:
        file.write(json.dumps(value, indent=2, sort_keys=True, default=str).encode())
    draft.replace(path)

"""Where one workspace's index lies, and who holds it: a folder, a lock, a note of the last status.

Owns the layout below the cache folder: ``HASH/workspace.json`` (whose it is), ``HASH/status.json``
(what it held when last at rest; a copy for people, never read back as truth), ``HASH/index/`` (the
index's own), ``HASH.lock``. Two servers on one folder would be two writers of one database: the
second takes ``HASH-2``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from indexer.private_files import FILE_MODE, make_private_folder, open_private, tighten_folder

MOST_COPIES = 8


class IndexPlaceError(Exception):
    """No folder for the index; the message says what to do."""


@dataclass(frozen=True)
class IndexDirectory:
    """A folder that this process alone writes, until `release`."""

    path: Path
    _lock: FileLock

    @staticmethod
    def claim(cache_dir: Path, root: Path, purpose: str = "") -> IndexDirectory:
        """The first free folder for `root`; `purpose` keeps indexes of different kinds apart.

        Raises `IndexPlaceError` if the cache cannot be written or too many servers hold one.
        """
        try:
            if (
                not cache_dir.exists()
            ):  # one that is there may be shared on purpose; what we make in it is not
                make_private_folder(cache_dir)
            for path in _candidates(cache_dir, root, purpose):
                lock = FileLock(
                    path.with_name(path.name + ".lock"), timeout=0, mode=FILE_MODE, thread_local=False
                )
                try:
                    lock.acquire()
                except Timeout:
                    continue
                make_private_folder(path)
                tighten_folder(path)
                _write_json(path / "workspace.json", {"root": str(root)})
                return IndexDirectory(path, lock)
        except OSError as error:
            raise IndexPlaceError(
                f"no index can be kept in {cache_dir}: {error.strerror or error}; "
                "make it writable or choose another with --cache-dir"
            ) from error
        raise IndexPlaceError(f"{MOST_COPIES} other servers hold an index of {root}; end some of them")

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
        self._lock.release()


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

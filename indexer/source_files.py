"""A workspace folder on disk: which files it holds, and the text of one of them.

Owns the walk, the size gate, safe opening, and `FileChange`, the word for "look at this
file again". Ignore rules are `indexer.ignoring`, bytes to text `indexer.encodings`, gates
on text and ranks `indexer.quality`, secrets in text `indexer.masking`.

Symbolic links are never followed: a target inside the workspace is found under its own
name, one outside is not ours. One file has one path, and no loop is possible.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.chunk import digest_of
from indexer.encodings import decode
from indexer.ignoring import IgnoreRules
from indexer.languages import language_of
from indexer.masking import masked
from indexer.quality import rank_of, why_rejected

logger = logging.getLogger(__name__)

# Opening a named pipe that took a file's place must not wait for a writer, nor follow a link.
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True)
class FileChange:
    """`path` may differ from what is known. Text given: an unsaved buffer that hides the disk."""

    path: str
    present: bool = True
    text: str | None = None


@dataclass(frozen=True)
class SourceFile:
    """A file that passed every gate; its secrets are covered.

    `size` in bytes; `mtime_ns` is 0 for an unsaved buffer.
    """

    path: str
    language: str | None
    text: str
    content_digest: str
    size: int
    mtime_ns: int
    rank: float
    overlay: bool


@dataclass(frozen=True)
class Rejected:
    """A file that is not read; `reason` is fit for counting and for showing."""

    path: str
    reason: str


@dataclass(frozen=True)
class ScannedFile:
    """A file met by the walk, not yet opened."""

    path: str
    size: int
    mtime_ns: int


@dataclass
class ScanCounts:
    """What the last walk met; complete once its iterator is exhausted."""

    files: int = 0
    left_out: int = 0
    unreadable: int = 0
    bad_names: int = 0
    special: int = 0
    links: int = 0
    too_large: int = 0

    def passed_over(self) -> dict[str, int]:
        """Reason -> how many entries were not read for it, those that occurred."""
        reasons = {
            "beyond the limit of files": self.left_out,
            "not readable": self.unreadable,
            "name is not UTF-8": self.bad_names,
            "no regular file": self.special,
            "symbolic link": self.links,
            "too large": self.too_large,
        }
        return {reason: n for reason, n in reasons.items() if n}


class SourceTree:
    """One workspace folder. Any thread may read; `scan` is for one thread at a time."""

    def __init__(self, root: Path, exclude: Sequence[str], max_files: int, max_file_bytes: int) -> None:
        # Resolved once: what is compared below are real paths.
        self.root = Path(os.path.realpath(root))
        self.ignore = IgnoreRules(self.root, exclude)
        self.counts = ScanCounts()
        self._max_files = max_files
        self._max_file_bytes = max_file_bytes

    @property
    def left_out(self) -> int:
        """How many files the last complete walk met beyond `max_files`."""
        return self.counts.left_out

    def scan(self) -> Iterator[ScannedFile]:
        """Every file that is not ignored and not too large, sorted by the parts of its path.

        Never raises for one bad entry; a missing root yields nothing. Past `max_files`
        the walk goes on only to count, and says so in the log.
        """
        counts = self.counts = ScanCounts()
        for file in self._walk(counts):
            if counts.files < self._max_files:
                counts.files += 1
                yield file
            else:
                counts.left_out += 1
        if counts.left_out:
            logger.warning(
                "%d files are beyond the limit of %d and are not read: raise index.maxFiles or exclude some",
                counts.left_out,
                self._max_files,
            )

    def read(self, change: FileChange) -> SourceFile | Rejected:
        """The text of `change`, from its buffer or from the disk, or why there is none."""
        path = change.path
        if not change.present:
            return Rejected(path, "gone")
        if not _is_inside(path):
            return Rejected(path, "outside the workspace")
        if self.ignore.ignores(path, is_directory=False):
            return Rejected(path, "ignored")
        if change.text is not None:
            # JSON can carry lone surrogates, which neither a digest nor a database may hold.
            text = change.text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
            size = len(text.encode())
            if size > self._max_file_bytes:
                return self._too_large(path)
            return _accept(path, text, size, mtime_ns=0, overlay=True)
        return self._read_disk(path)

    def _read_disk(self, path: str) -> SourceFile | Rejected:
        full_path = self.root / path
        try:
            found = full_path.lstat()
            if stat.S_ISLNK(found.st_mode) or not _is_real(full_path):
                return Rejected(path, "behind a symbolic link")
            if not stat.S_ISREG(found.st_mode):
                return Rejected(path, "not a regular file")
            if found.st_size > self._max_file_bytes:
                return self._too_large(path)
            found, data = _read_at_most(full_path, self._max_file_bytes + 1)
        except FileNotFoundError:
            return Rejected(path, "gone")
        except (OSError, ValueError) as error:
            return Rejected(path, f"not readable: {getattr(error, 'strerror', None) or error}")
        if len(data) > self._max_file_bytes:
            return self._too_large(path)
        text = decode(data, language_of(path))
        if text is None:
            return Rejected(path, "binary")
        return _accept(path, text, len(data), found.st_mtime_ns, overlay=False)

    def _too_large(self, path: str) -> Rejected:
        return Rejected(path, f"larger than {self._max_file_bytes / 1024:g} KiB")

    def _walk(self, counts: ScanCounts) -> Iterator[ScannedFile]:
        """Depth first with a stack of our own: no depth of folders is a recursion error."""
        seen: set[tuple[int, int]] = set()
        stack: list[str | os.DirEntry[str]] = [""]
        while stack:
            entry = stack.pop()
            if isinstance(entry, str):
                stack.extend(self._entries(entry, seen, counts))
                continue
            file = self._file(entry, counts)
            if file is not None:
                yield file

    def _entries(
        self, folder: str, seen: set[tuple[int, int]], counts: ScanCounts
    ) -> list[str | os.DirEntry[str]]:
        """What `folder` holds, last first: folders as paths, all else as entries. Empty on failure."""
        full_path = self.root / folder
        try:
            found = full_path.stat()
            # A bind mount or a junction can show a folder twice, even inside itself.
            if (found.st_dev, found.st_ino) in seen and found.st_ino:
                return []
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(full_path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except (OSError, ValueError):
            counts.unreadable += 1
            return []
        kept = (self._kept(entry, folder, counts) for entry in entries)
        return [entry for entry in kept if entry is not None]

    def _kept(
        self, entry: os.DirEntry[str], folder: str, counts: ScanCounts
    ) -> str | os.DirEntry[str] | None:
        """The path of a folder to walk, the entry of a file to look at, or None. Costs no stat."""
        if not is_text(entry.name):
            counts.bad_names += 1
            return None
        path = f"{folder}/{entry.name}" if folder else entry.name
        try:
            if entry.is_symlink():
                counts.links += 1
                return None
            is_directory = entry.is_dir(follow_symlinks=False)
        except OSError:
            counts.unreadable += 1
            return None
        if self.ignore.ignores_entry(path, is_directory):
            return None
        return path if is_directory else entry

    def _file(self, entry: os.DirEntry[str], counts: ScanCounts) -> ScannedFile | None:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            counts.unreadable += 1
            return None
        if not stat.S_ISREG(found.st_mode):
            counts.special += 1
            return None
        if found.st_size > self._max_file_bytes:
            counts.too_large += 1
            return None
        path = Path(entry.path).relative_to(self.root).as_posix()
        return ScannedFile(path, found.st_size, found.st_mtime_ns)


def _accept(path: str, text: str, size: int, mtime_ns: int, overlay: bool) -> SourceFile | Rejected:
    reason = why_rejected(text)
    if reason is not None:
        return Rejected(path, reason)
    text = masked(text)
    language = language_of(path)
    rank = rank_of(path, language, text)
    return SourceFile(path, language, text, digest_of(text), size, mtime_ns, rank, overlay)


def _read_at_most(path: Path, n_bytes: int) -> tuple[os.stat_result, bytes]:
    """The file's state and its first `n_bytes`; raises OSError if it is no regular file any more."""
    descriptor = os.open(path, _OPEN_FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("not a regular file")
        return found, file.read(n_bytes)


def _is_real(path: Path) -> bool:
    """Whether no folder on the way is a symbolic link. `path` starts at a resolved root."""
    return os.path.realpath(path.parent) == str(path.parent)


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    return (
        bool(path)
        and "\0" not in path
        and is_text(path)
        and not any(part in ("", ".", "..") for part in parts)
    )


def is_text(name: str) -> bool:
    """Whether a path can be stored: a name of bytes that are no UTF-8 has surrogates."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)

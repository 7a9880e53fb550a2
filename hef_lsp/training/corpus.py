"""Repositories to train on: the Python sources of wheels and sdists, cleaned.

Owns what may be trained on: licences read from a package's own metadata, the list of excluded
projects, fingerprints of the benchmarks, copies seen before. Cutting records from what is left
is `hef_lsp.training.records`.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

import numpy as np

from indexer.quality import why_rejected
from indexer.source_files import SourceTree

PERMISSIVE = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|Unlicense|HPND|CC0)\b", re.IGNORECASE
)
RESTRICTED = re.compile(
    r"\b(A?L?GPL\w*|GNU|MPL|Mozilla|EPL|CC-BY-NC|Proprietary|Commercial)\b", re.IGNORECASE
)
OWN = "a local folder"
"""The licence of what lies unpacked: it is not read, and stands so in the provenance."""
LARGEST_FILE_BYTES = 60_000
MOST_FILES = 100_000
SMALLEST_FILE_LINES = 20
LARGEST_PACKAGE_BYTES = 2_500_000
FINGERPRINT_LINES = 6
"""The fingerprints are of runs of so many lines, one in eight of them kept."""
FINGERPRINT_SHARE = 8
_FIELDS = ("License-Expression", "License", "Classifier")


@dataclass(frozen=True)
class Corpus:
    """One repository: `files` maps paths to texts; `licence` is what its metadata says."""

    name: str
    licence: str
    files: Mapping[str, str]


@dataclass
class CorpusCounts:
    """What was taken and what was left out, by reason."""

    packages: int = 0
    files: int = 0
    n_bytes: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str, n: int = 1) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + n


@dataclass(frozen=True)
class Exclusions:
    """Names never to train on, and the sorted fingerprints (uint64) of the benchmarks' sources."""

    names: frozenset[str] = frozenset()
    fingerprints: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))

    @staticmethod
    def read(names: Path | None, fingerprints: Path | None) -> Exclusions:
        """Raises OSError for a file that cannot be read."""
        listed = names.read_text(encoding="utf-8").splitlines() if names else []
        words = {
            _canonical(word.rpartition("/")[2])
            for line in listed
            if not line.startswith("#")
            for word in re.split(r"[\t,]", line)
            if word.strip()
        }
        values = np.fromfile(fingerprints, dtype="<u8") if fingerprints else np.zeros(0, dtype=np.uint64)
        return Exclusions(frozenset(words), values)

    def holds(self, name: str) -> bool:
        return _canonical(name) in self.names

    def overlaps(self, text: str) -> bool:
        """Whether any run of six lines of `text` stands in a benchmark."""
        values = fingerprints_of(text)
        if not len(values) or not len(self.fingerprints):
            return False
        places = np.searchsorted(self.fingerprints, values).clip(max=len(self.fingerprints) - 1)
        return bool((self.fingerprints[places] == values).any())


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def fingerprints_of(text: str) -> np.ndarray:
    """One in eight of the hashes of each six stripped lines, without blanks and comments, uint64."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    runs = ("\n".join(lines[i : i + FINGERPRINT_LINES]) for i in range(len(lines) - FINGERPRINT_LINES + 1))
    values = (int.from_bytes(hashlib.sha1(run.encode()).digest()[:8], "little") for run in runs)
    return np.array([value for value in values if value % FINGERPRINT_SHARE == 0], dtype=np.uint64)


def read_corpora(archives: Iterable[Path], exclusions: Exclusions, counts: CorpusCounts) -> Iterator[Corpus]:
    """The packages that may be trained on, one after the other; a file seen before is left out.

    A folder among `archives` is a repository of the user's own: what may be learned of it is theirs to say.
    """
    seen: set[bytes] = set()
    for archive in sorted(archives):
        name = re.split(r"-\d", archive.name, maxsplit=1)[0]
        if exclusions.holds(name):
            counts.leave_out("package excluded by name")
            continue
        try:
            members = dict(_members(archive))
        except (zipfile.BadZipFile, tarfile.TarError, OSError):
            counts.leave_out("archive cannot be read")
            continue
        licence = OWN if archive.is_dir() else _licence(members)
        if (licence != OWN and not PERMISSIVE.search(licence)) or RESTRICTED.search(licence):
            counts.leave_out("licence not known to be permissive")
            continue
        files = _files(members, exclusions, seen, counts)
        if len(files) >= 2:
            counts.packages += 1
            counts.files += len(files)
            counts.n_bytes += sum(map(len, files.values()))
            yield Corpus(name, licence, files)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of Python files and metadata; an sdist's own top folder is taken off."""
    if archive.is_dir():
        tree = SourceTree(archive, (), MOST_FILES, LARGEST_FILE_BYTES)
        for file in tree.scan():
            if file.path.endswith(".py"):
                yield file.path, (archive / file.path).read_bytes()
        return
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                if info.filename.endswith((".py", "METADATA")) and info.file_size <= LARGEST_FILE_BYTES:
                    yield info.filename, wheel.read(info)
        return
    with tarfile.open(archive) as sdist:
        for member in sdist:
            wanted = member.name.endswith((".py", "PKG-INFO")) and member.size <= LARGEST_FILE_BYTES
            content = sdist.extractfile(member) if member.isfile() and wanted else None
            if content is not None:
                yield "/".join(PurePosixPath(member.name).parts[1:]), content.read()


def _licence(members: Mapping[str, bytes]) -> str:
    """What the metadata says, on one line; a licence's whole text counts by its first line."""
    for name in sorted(members, key=len):
        if name.endswith(("METADATA", "PKG-INFO")):
            headers = HeaderParser().parsestr(members[name].decode("utf-8", "replace"))
            values = [value for key in _FIELDS for value in headers.get_all(key, [])]
            kept = [v.strip().split("\n")[0] for v in values if v.startswith("License") or ":" not in v]
            return "; ".join(kept)
    return ""


def _files(
    members: Mapping[str, bytes], exclusions: Exclusions, seen: set[bytes], counts: CorpusCounts
) -> dict[str, str]:
    files: dict[str, str] = {}
    room = LARGEST_PACKAGE_BYTES
    # By hash, so that a large package is sampled and not cut off after its first folders.
    for path in sorted(members, key=lambda name: hashlib.sha1(name.encode()).digest()):
        if not path.endswith(".py"):
            continue
        reason, text = _usable(path, members[path], exclusions, seen)
        if reason is None and len(text) > room:
            reason = "package large enough"
        if reason is not None:
            counts.leave_out(reason)
            continue
        room -= len(text)
        files[path] = text
    return dict(sorted(files.items()))


def _usable(path: str, content: bytes, exclusions: Exclusions, seen: set[bytes]) -> tuple[str | None, str]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8", ""
    if text.count("\n") < SMALLEST_FILE_LINES:
        return "short", ""
    if "_vendor" in path or why_rejected(text) is not None:
        return "generated or vendored", ""
    digest = hashlib.sha1("".join(text.split()).encode()).digest()
    if digest in seen:
        return "seen before", ""
    seen.add(digest)
    if exclusions.overlaps(text):
        return "stands in a benchmark", ""
    return None, text

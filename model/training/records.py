"""Training records on disk: repositories with their texts, chunks, cursors and what was retrieved there.

Owns the file format, xz-compressed JSON lines, a repository a line. Text is stored once, as it is:
tokens are made by whoever reads, so one file serves every tokenizer. Records are cut by
`indexer.dataset`; tokens are `model.training.examples`.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FORMAT_VERSION = 2
READABLE = (1, FORMAT_VERSION)
"""Version 1 knew no utility."""

ChunkPlace = tuple[int, int]
"""A file's number in its repository, and the chunk's place in that file."""


@dataclass(frozen=True)
class Record:
    """A cursor: at `offset` of file number `file`, `hits` (best first) were retrieved.

    `sees_suffix`: the text after the cursor was known to the search and may be shown.
    `copies`: the line to come names something that the hits name and the window before does not.
    `utility`: by how many nats a weighted token the hits make the target likelier; None where not scored.
    """

    file: int
    offset: int
    sees_suffix: bool
    copies: bool
    hits: tuple[ChunkPlace, ...]
    utility: float | None = None


@dataclass(frozen=True)
class RecordFile:
    """`spans` are the chunks' lines ``[start, end)``."""

    path: str
    text: str
    spans: tuple[tuple[int, int], ...]

    def chunk(self, place: int) -> str:
        """A chunk's text: its lines without blank ones at either end."""
        start, end = self.spans[place]
        return "\n".join(self.text.split("\n")[start:end]).strip("\n")


@dataclass(frozen=True)
class Repository:
    """Texts have ``\\n`` line ends. `licence` is for the checkpoint's provenance."""

    name: str
    licence: str
    files: tuple[RecordFile, ...]
    records: tuple[Record, ...]


def write_repositories(path: Path, repositories: Iterable[Repository]) -> int:
    """Writes all, whole or not at all, and gives how many records they hold. Raises OSError."""
    n_records, unfinished = 0, path.with_name(f"{path.name}.part")
    with lzma.open(unfinished, "wt", encoding="utf-8", preset=6) as file:
        file.write(json.dumps({"format_version": FORMAT_VERSION}) + "\n")
        for repository in repositories:
            file.write(json.dumps(asdict(repository), ensure_ascii=False) + "\n")
            n_records += len(repository.records)
    unfinished.replace(path)
    return n_records


def read_repositories(path: Path) -> Iterator[Repository]:
    """Raises ValueError for a file of another format, lzma.LZMAError or EOFError for a damaged one."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        version = json.loads(file.readline()).get("format_version")
        if version not in READABLE:
            raise ValueError(f"{path} has the record format {version!r}, this version reads {READABLE}")
        for line in file:
            yield _repository(json.loads(line))


def _repository(data: dict[str, Any]) -> Repository:  # Any: JSON, the wire
    return Repository(
        data["name"],
        data["licence"],
        tuple(
            RecordFile(file["path"], file["text"], tuple((start, end) for start, end in file["spans"]))
            for file in data["files"]
        ),
        tuple(
            Record(
                record["file"],
                record["offset"],
                record["sees_suffix"],
                record["copies"],
                tuple((file, place) for file, place in record["hits"]),
                record.get("utility"),
            )
            for record in data["records"]
        ),
    )

"""The exact memory on disk, beside the index: a copy that saves reading and sorting at the next start.

Owns the file's format, its checks and its replacement as a whole. It holds nothing that could not be read
again from the index: a file that is missing, damaged, torn or of another kind is no loss and is left aside.
Numpy arrays without pickle, in a zip whose checksums are verified as it is read.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexer.private_files import open_private
from indexer.suffix_index import LiveSegment, SuffixSnapshot
from indexer.suffix_segment import ORDER, Segment

log = logging.getLogger(__name__)

FILE_NAME = "memory.npz"
FORMAT_VERSION = 2
"""1 was read from texts whose secrets were not covered; such a file is removed."""
_PARTS = ("stored", "order", "starts", "alive")


@dataclass(frozen=True)
class SavedMemory:
    """Segments, of which generation of the index, and the stamp of each file whose tokens count.

    Stamps name a file's content; `tokenizer_id` what the tokens mean.
    """

    snapshot: SuffixSnapshot
    stamps: Mapping[str, str]
    tokenizer_id: str
    generation: int


def save_memory(directory: Path, saved: SavedMemory) -> None:
    """Replaces the file; what cannot be written is logged and left."""
    arrays: dict[str, Any] = {}
    for number, part in enumerate(saved.snapshot.segments):
        values = (part.segment.stored, part.segment.order, part.segment.starts, part.alive)
        arrays |= {f"{name}_{number}": value for name, value in zip(_PARTS, values, strict=True)}
    header = {
        "format_version": FORMAT_VERSION,
        "order": ORDER,
        "tokenizer": saved.tokenizer_id,
        "generation": saved.generation,
        "stamps": dict(saved.stamps),
        "paths": [list(part.segment.paths) for part in saved.snapshot.segments],
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode("utf-8", "surrogatepass"), dtype=np.uint8)
    unfinished = directory / f"{FILE_NAME}.part"
    try:
        with open_private(unfinished) as file:
            np.savez(file, **arrays)
        unfinished.replace(directory / FILE_NAME)
    except OSError as error:
        log.warning("the exact memory was not saved, the next start reads it again: %s", error)
        with suppress(OSError):  # such a disk may refuse this as well; the next save replaces it
            unfinished.unlink(missing_ok=True)


def load_memory(directory: Path, tokenizer_id: str) -> SavedMemory | None:
    """What was saved for this tokenizer, or None."""
    path = directory / FILE_NAME
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes().decode("utf-8", "surrogatepass"))
            if (header["format_version"], header["order"]) != (FORMAT_VERSION, ORDER):
                path.unlink(missing_ok=True)
                return None
            if header["tokenizer"] != tokenizer_id:
                return None
            segments = tuple(
                _segment([arrays[f"{name}_{number}"] for name in _PARTS], tuple(paths))
                for number, paths in enumerate(header["paths"])
            )
        return SavedMemory(SuffixSnapshot(segments), header["stamps"], tokenizer_id, header["generation"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        log.warning("%s is damaged and is made anew: %s", path.name, error)
        return None


def _segment(parts: list[Any], paths: tuple[str, ...]) -> LiveSegment:
    """Raises ValueError for arrays that do not fit together."""
    stored, order, starts, alive = parts
    fits = (
        stored.dtype in (np.uint16, np.uint32)
        and (order.dtype, starts.dtype, alive.dtype) == (np.uint32, np.int64, np.bool_)
        and all(part.ndim == 1 for part in parts)
        and len(starts) == len(alive) == len(paths)
        and (not len(order) or int(order.max()) < len(stored))
        and (not len(starts) or (int(starts.min()) >= ORDER and int(starts.max()) <= len(stored)))
        and bool((np.diff(starts) > 0).all())
    )
    if not fits:
        raise ValueError("its arrays do not fit together")
    return LiveSegment(Segment(stored, order, starts, paths), alive)

"""How many suggestions were shown, accepted, and still there after half a minute: counts alone.

Owns the file in the user's data folder and its three numbers. No text, no name and no time of day is
kept, and nothing is ever sent. How acceptance is noticed is `hef_lsp.acceptance`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from filelock import FileLock, Timeout

from indexer.private_files import FILE_MODE, make_private_folder, open_private

log = logging.getLogger(__name__)

FILE_NAME = "statistics.json"
LOCK_S = 2.0


@dataclass(frozen=True)
class Counts:
    """`survived`: accepted, and their text still stood in the document 30 seconds later."""

    offered: int = 0
    accepted: int = 0
    survived: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(
            self.offered + other.offered, self.accepted + other.accepted, self.survived + other.survived
        )


def read_counts(folder: Path) -> Counts:
    """What is kept in `folder`; nothing where there is no such file, or it is damaged."""
    try:
        data = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return Counts(**{each.name: int(data[each.name]) for each in fields(Counts)})
    except (OSError, ValueError, KeyError, TypeError):
        return Counts()


def add_counts(folder: Path, counts: Counts) -> None:
    """Adds to what is kept, several servers at once. What cannot be written is lost, which harms nobody."""
    if counts == Counts():
        return
    try:
        make_private_folder(folder)
        with FileLock(folder / f"{FILE_NAME}.lock", timeout=LOCK_S, mode=FILE_MODE):
            draft = folder / f"{FILE_NAME}.new"
            with open_private(draft) as file:
                file.write(json.dumps(asdict(read_counts(folder).plus(counts))).encode())
            draft.replace(folder / FILE_NAME)
    except (OSError, Timeout) as error:
        log.debug("the statistics were not kept: %s", error)


def clear_counts(folder: Path) -> None:
    """Removes the file. Raises OSError."""
    (folder / FILE_NAME).unlink(missing_ok=True)

"""Folders and files that hold what was read of a workspace: the user's alone, on systems with such rights.

Owns the rights. Rights that were wider before are taken back, for an index may be older than this rule.
On Windows the user's own folders are private by inheritance, and nothing is changed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FOLDER_MODE, FILE_MODE = 0o700, 0o600


def make_private_folder(folder: Path) -> None:
    """Makes `folder`, and what lacks above it, for the user alone; takes wider rights back."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if os.name == "posix" and folder.stat().st_mode & 0o077:
        folder.chmod(FOLDER_MODE)


def open_private(path: Path) -> BinaryIO:
    """`path` for writing anew, the user's alone from its first byte on. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), FILE_MODE)
    _tighten(path)
    return os.fdopen(descriptor, "wb")


def make_private_file(path: Path) -> None:
    """Makes `path` if there is none, before a library would with the rights of the day. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), FILE_MODE))
    _tighten(path)


def tighten_folder(folder: Path) -> None:
    """Takes wider rights back from everything below `folder`; what cannot be changed is left."""
    for root, folders, files in os.walk(folder):
        for name in files:
            _tighten(Path(root) / name)
        for name in folders:
            with suppress(OSError):
                make_private_folder(Path(root) / name)


def _tighten(path: Path) -> None:
    if os.name == "posix":
        with suppress(OSError):
            if not path.is_symlink() and path.stat().st_mode & 0o077:
                path.chmod(FILE_MODE)

"""Where the editor's URIs lie in the workspace, and who tells of changes on disk.

Owns URI <-> path, path <-> folder, and the registration of `workspace/didChangeWatchedFiles`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lsprotocol import types as lsp

from hef_lsp.client import Client, NoAnswer
from indexer.source_files import FileChange

WATCH_ID = "hef-watched-files"
PLACES_KEPT = 256
"""Each key asks three times where its document lies."""


def path_of(uri: str) -> Path | None:
    """The absolute path of a `file` URI; None for every other scheme and for what is no path."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme.lower() != "file" or "\0" in unquote(parts.path):
        return None
    if os.name == "nt":
        from urllib.request import url2pathname  # costs 50 ms of the start

        host = f"//{parts.netloc}" if parts.netloc else ""
        name = host + url2pathname(unquote(parts.path))
    else:
        # A name that is not UTF-8 keeps its bytes, as the file system functions of Python have them.
        name = unquote(parts.path, errors="surrogateescape")
    return Path(os.path.normpath(name)) if name else None


def name_of(uri: str) -> str:
    """The last part of a URI of any scheme, for a document that lies in no folder."""
    return unquote(uri.rpartition(":")[2].rstrip("/").rpartition("/")[2]) or "untitled"


def told_place(uri: str, roots: Iterable[Path]) -> tuple[str, str | None]:
    """A document's path as models are told it, and its root; its name and None where it lies in no folder."""
    place = place_of(uri, roots)
    return (place[1], str(place[0])) if place else (name_of(uri), None)


def place_of(uri: str, roots: Iterable[Path]) -> tuple[Path, str] | None:
    """The innermost root that holds the file, and its path from there with forward slashes."""
    return _place_of(uri, tuple(roots))


@lru_cache(maxsize=PLACES_KEPT)
def _place_of(uri: str, roots: tuple[Path, ...]) -> tuple[Path, str] | None:
    path = path_of(uri)
    if path is None:
        return None
    known = os.path.normcase(path)
    best: Path | None = None
    for root in roots:
        above = os.path.normcase(root).rstrip(os.sep) + os.sep
        if known.startswith(above) and (best is None or len(str(root)) > len(str(best))):
            best = root
    if best is None:
        return None
    return best, Path(str(path)[len(str(best).rstrip(os.sep)) + 1 :]).as_posix()


def changes_by_root(
    events: Iterable[lsp.FileEvent], roots: Iterable[Path]
) -> Mapping[Path, list[FileChange]]:
    """The events as changes of each folder, in order; those outside all folders are left out."""
    roots = tuple(roots)
    found: dict[Path, list[FileChange]] = {}
    for event in events:
        place = place_of(event.uri, roots)
        if place is not None:
            root, path = place
            change = FileChange(path, present=event.type != lsp.FileChangeType.Deleted)
            found.setdefault(root, []).append(change)
    return found


async def register_watching(client: Client) -> bool:
    """Asks the editor to watch all files; False if it cannot or will not, and we must watch ourselves."""
    if not client.can_watch_files:
        return False
    options = lsp.DidChangeWatchedFilesRegistrationOptions([lsp.FileSystemWatcher("**/*")])
    registration = lsp.Registration(WATCH_ID, lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    try:
        await client.ask(lsp.CLIENT_REGISTER_CAPABILITY, lsp.RegistrationParams([registration]))
    except NoAnswer:
        return False
    return True

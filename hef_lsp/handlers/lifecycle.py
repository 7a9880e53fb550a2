"""`initialize` to `shutdown`, settings, and progress that the user cancels.

`initialize` only notes what it is told, so that it answers at once; the models load after `initialized`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lsprotocol import types as lsp

from hef_lsp.file_events import path_of, register_watching
from hef_lsp.session import Session


def initialize(session: Session, params: lsp.InitializeParams, encoding: str) -> None:
    session.client.introduce(params.capabilities, encoding)
    session.configuration.take_initial(params.initialization_options)
    session.roots = roots_of(params)


def initialized(session: Session, params: lsp.InitializedParams) -> None:
    session.spawn(_begin(session))


async def _begin(session: Session) -> None:
    session.configuration.complain()
    await session.configuration.pull()
    session.client_watches = await register_watching(session.client)
    session.open()
    await session.configuration.register()


def did_change_configuration(session: Session, params: lsp.DidChangeConfigurationParams) -> None:
    session.spawn(_reconfigure(session, params.settings))


async def _reconfigure(session: Session, pushed: object) -> None:
    before = session.settings
    if session.client.can_configure:
        await session.configuration.pull()
    else:
        session.configuration.take_pushed(pushed)
    session.settings_changed(before)


def did_change_workspace_folders(session: Session, params: lsp.DidChangeWorkspaceFoldersParams) -> None:
    session.change_roots(_paths(params.event.added), _paths(params.event.removed))


def cancel_progress(session: Session, params: lsp.WorkDoneProgressCancelParams) -> None:
    """The work is not lost: it stands still until `hef.pause` resumes it."""
    if session.status.is_progress(params.token):
        session.pause(True)


def shutdown(session: Session, params: None) -> None:
    session.stop_answering()


def roots_of(params: lsp.InitializeParams) -> list[Path]:
    """The folders, or the one root that older editors send."""
    if params.workspace_folders:
        return _paths(params.workspace_folders)
    root = path_of(params.root_uri) if params.root_uri else None
    if root is None and params.root_path:
        root = Path(params.root_path)
    return [root] if root is not None else []


def _paths(folders: Iterable[lsp.WorkspaceFolder]) -> list[Path]:
    """Those that are folders on this machine, each once."""
    found: dict[Path, None] = {}
    for folder in folders:
        path = path_of(folder.uri)
        if path is not None:
            found[path] = None
    return list(found)

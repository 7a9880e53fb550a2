"""Documents opened, changed, saved and closed, and files that changed on disk."""

from __future__ import annotations

from lsprotocol import types as lsp

from hef_lsp.documents import TextChange
from hef_lsp.file_events import changes_by_root
from hef_lsp.session import Session
from indexer.source_files import FileChange


def did_open(session: Session, params: lsp.DidOpenTextDocumentParams) -> None:
    item = params.text_document
    session.answering.cancel(item.uri)
    document = session.documents.open(item.uri, item.language_id, item.version, item.text)
    session.edits.opened(item.uri)
    session.overlay(item.uri, document.text)


def did_change(session: Session, params: lsp.DidChangeTextDocumentParams) -> None:
    identifier = params.text_document
    session.answering.cancel(identifier.uri)
    changes = [_text_change(change) for change in params.content_changes]
    document = session.documents.change(identifier.uri, identifier.version, changes, session.client.encoding)
    session.edits.changed(identifier.uri, changes)
    session.accepted(identifier.uri, changes)
    session.overlay(identifier.uri, document.text)


def did_save(session: Session, params: lsp.DidSaveTextDocumentParams) -> None:
    place = session.place(params.text_document.uri)
    if place is not None and not session.client_watches:
        folder, path = place
        folder.notify([FileChange(path)])


def did_close(session: Session, params: lsp.DidCloseTextDocumentParams) -> None:
    uri = params.text_document.uri
    session.answering.cancel(uri)
    session.acceptance.closed(uri)
    session.documents.close(uri)
    session.edits.closed(uri)
    if session.engine is not None:
        session.engine.forget(uri)
    session.overlay(uri, None)


def did_change_watched_files(session: Session, params: lsp.DidChangeWatchedFilesParams) -> None:
    for root, changes in changes_by_root(params.changes, session.folders).items():
        session.folders[root].notify(changes)


def _text_change(change: lsp.TextDocumentContentChangeEvent) -> TextChange:
    if isinstance(change, lsp.TextDocumentContentChangePartial):
        start, end = change.range.start, change.range.end
        return TextChange(((start.line, start.character), (end.line, end.character)), change.text)
    return TextChange(None, change.text)

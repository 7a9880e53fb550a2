"""Documents opened, changed, saved and closed, and files that changed on disk."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types as lsp

from hef_lsp.documents import DocumentSnapshot, TextChange
from hef_lsp.file_events import changes_by_root, told_place
from hef_lsp.position_units import PositionEncoding
from hef_lsp.request import CompletionRequest
from hef_lsp.session import Session
from indexer.source_files import FileChange


def did_open(session: Session, params: lsp.DidOpenTextDocumentParams) -> None:
    item = params.text_document
    session.answering.cancel(item.uri)
    document = session.documents.open(item.uri, item.language_id, item.version, item.text)
    session.edits.opened(item.uri)
    session.overlay(item.uri, document.text)
    _touched(session, document, 0)


def did_change(session: Session, params: lsp.DidChangeTextDocumentParams) -> None:
    identifier = params.text_document
    session.answering.cancel(identifier.uri)
    changes = [_text_change(change) for change in params.content_changes]
    document = session.documents.change(identifier.uri, identifier.version, changes, session.client.encoding)
    session.edits.changed(identifier.uri, changes)
    session.accepted(identifier.uri, changes)
    session.overlay(identifier.uri, document.text)
    _touched(session, document, _end_of(changes, document, session.client.encoding))


def did_save(session: Session, params: lsp.DidSaveTextDocumentParams) -> None:
    place = session.place(params.text_document.uri)
    if place is not None and not session.client_watches:
        folder, path = place
        folder.notify([FileChange(path)])


def did_close(session: Session, params: lsp.DidCloseTextDocumentParams) -> None:
    uri = params.text_document.uri
    session.answering.cancel(uri)
    session.reading.closed(uri)
    session.acceptance.closed(uri)
    session.documents.close(uri)
    session.edits.closed(uri)
    if session.engine is not None:
        session.engine.forget(uri)
    session.overlay(uri, None)


def did_change_watched_files(session: Session, params: lsp.DidChangeWatchedFilesParams) -> None:
    for root, changes in changes_by_root(params.changes, session.folders).items():
        session.folders[root].notify(changes)


def _touched(session: Session, document: DocumentSnapshot, offset: int) -> None:
    """The document may be read while nobody asks, what lies at `offset` first."""
    path, root = told_place(document.uri, session.folders)
    session.reading.touched(CompletionRequest(document, path, root, offset))


def _end_of(changes: Sequence[TextChange], document: DocumentSnapshot, encoding: PositionEncoding) -> int:
    """Where the last change ends; the beginning where the whole text was sent."""
    if not changes or changes[-1].range is None:
        return 0
    start = changes[-1].range[0]
    return min(document.offset_at(*start, encoding) + len(changes[-1].text), len(document.text))


def _text_change(change: lsp.TextDocumentContentChangeEvent) -> TextChange:
    if isinstance(change, lsp.TextDocumentContentChangePartial):
        start, end = change.range.start, change.range.end
        return TextChange(((start.line, start.character), (end.line, end.character)), change.text)
    return TextChange(None, change.text)

"""`hef/cursorMoved`: an editor tells where its cursor stands, so that what is asked for there is ready.

A notification of our own, for the protocol has none. Editors that do not send it lose nothing else.
"""

from __future__ import annotations

from lsprotocol import types as lsp

from hef_lsp.documents import InvalidPosition
from hef_lsp.file_events import told_place
from hef_lsp.request import CompletionRequest
from hef_lsp.session import Session

CURSOR_MOVED = "hef/cursorMoved"


def cursor_moved(session: Session, params: lsp.TextDocumentPositionParams) -> None:
    """The file is read from there on, and the answer for that place is worked out. A model that rests is left
    to rest, and a position that cannot be is no position."""
    document = session.documents.get(params.text_document.uri)
    if document is None or session.engine is None:
        return
    try:
        offset = document.offset_at(params.position.line, params.position.character, session.client.encoding)
    except InvalidPosition:
        return
    path, root = told_place(document.uri, session.folders)
    request = CompletionRequest(document, path, root, offset)
    session.answering.cursor_moved(request)
    session.reading.touched(request)

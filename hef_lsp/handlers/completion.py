"""`textDocument/inlineCompletion` and `textDocument/completion`.

The synchronous part takes the snapshot and the offset when the message is read; what it returns waits
for the answer. A position that cannot be is the client's fault and answered so; a document that is not
open has no completions.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcInvalidParams

from hef_lsp import convert
from hef_lsp.documents import DocumentSnapshot, InvalidPosition
from hef_lsp.file_events import told_place
from hef_lsp.request import CompletionRequest, SelectedCompletion
from hef_lsp.session import Session

INLINE, LIST = "inline", "list"
TRIGGER_CHARACTERS = (".", "(", "[", "{", ",", "=", ":", "/", "@")

InlineAnswer = lsp.InlineCompletionList | Coroutine[Any, Any, lsp.InlineCompletionList]
ListAnswer = lsp.CompletionList | Coroutine[Any, Any, lsp.CompletionList]


def inline_completion(session: Session, params: lsp.InlineCompletionParams) -> InlineAnswer:
    document = session.documents.get(params.text_document.uri)
    if document is None:
        return lsp.InlineCompletionList([])
    context = params.context
    invoked = context.trigger_kind == lsp.InlineCompletionTriggerKind.Invoked
    selected = _selected(session, document, context.selected_completion_info)
    return _inline(session, _request(session, document, params.position, invoked, selected))


def completion(session: Session, params: lsp.CompletionParams) -> ListAnswer:
    document = session.documents.get(params.text_document.uri)
    if document is None:
        return lsp.CompletionList(is_incomplete=False, items=[])
    kind = params.context.trigger_kind if params.context else lsp.CompletionTriggerKind.Invoked
    # Editors call it invoked when they ask by themselves after a letter, too.
    invoked = kind == lsp.CompletionTriggerKind.Invoked and not session.edits.is_typing(document.uri)
    return _list(session, _request(session, document, params.position, invoked, None))


def _inline(session: Session, request: CompletionRequest) -> Coroutine[Any, Any, lsp.InlineCompletionList]:
    key, token = session.answering.begin(request, INLINE)

    async def answer() -> lsp.InlineCompletionList:
        found = await session.answering.answer(request, key, token)
        session.offered(request.document.uri, [suggestion.text for suggestion in found.suggestions])
        return convert.inline_list(found.document, found.suggestions, session.client.encoding)

    return answer()


def _list(session: Session, request: CompletionRequest) -> Coroutine[Any, Any, lsp.CompletionList]:
    key, token = session.answering.begin(request, LIST)

    async def answer() -> lsp.CompletionList:
        found = await session.answering.answer(request, key, token)
        session.offered(request.document.uri, [suggestion.text for suggestion in found.suggestions])
        client = session.client
        return convert.completion_list(
            found.document, found.suggestions, found.offset, client.encoding, client.items
        )

    return answer()


def _request(
    session: Session,
    document: DocumentSnapshot,
    position: lsp.Position,
    invoked: bool,
    selected: SelectedCompletion | None,
) -> CompletionRequest:
    path, root = told_place(document.uri, session.folders)
    return CompletionRequest(
        document=document,
        path=path,
        root=root,
        offset=_offset(session, document, position),
        invoked=invoked,
        n_alternatives=session.settings.completion.alternatives if invoked else 1,
        selected=selected,
        after_deletion=session.edits.only_deleted(document.uri),
        received_s=time.monotonic(),
    )


def _selected(
    session: Session, document: DocumentSnapshot, info: lsp.SelectedCompletionInfo | None
) -> SelectedCompletion | None:
    if info is None:
        return None
    start = _offset(session, document, info.range.start)
    return SelectedCompletion(start, _offset(session, document, info.range.end), info.text)


def _offset(session: Session, document: DocumentSnapshot, position: lsp.Position) -> int:
    try:
        return document.offset_at(position.line, position.character, session.client.encoding)
    except InvalidPosition as error:
        raise JsonRpcInvalidParams(str(error)) from error

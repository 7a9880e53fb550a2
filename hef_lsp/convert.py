r"""Suggestions as the protocol's items, in the client's units and within what the client supports.

Owns the shape of `InlineCompletionItem` and `CompletionItem`. Decides nothing about what to suggest.
Texts keep ``\n`` even in a ``\r\n`` document: editors put inserted text into their own line endings,
and several show a ``\r`` in it as a character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from hef_lsp.documents import DocumentSnapshot, PositionEncoding

if TYPE_CHECKING:
    from hef_lsp.engine import Suggestion

LONGEST_LABEL = 80
MARK = "hef-lsp"

_WORD_BEFORE = re.compile(r"\w*\Z")
_BACKTICKS = re.compile(r"`+")


@dataclass(frozen=True)
class ItemSupport:
    """What the client can do with a `CompletionItem`; the defaults are the protocol's least."""

    markdown: bool = False
    as_is: bool = False
    preselect: bool = False

    @staticmethod
    def of(capabilities: lsp.ClientCapabilities | None) -> ItemSupport:
        document = capabilities.text_document if capabilities else None
        completion = document.completion if document else None
        item = completion.completion_item if completion else None
        if item is None:
            return ItemSupport()
        modes = item.insert_text_mode_support.value_set if item.insert_text_mode_support else ()
        return ItemSupport(
            markdown=lsp.MarkupKind.Markdown in (item.documentation_format or ()),
            as_is=lsp.InsertTextMode.AsIs in modes,
            preselect=bool(item.preselect_support),
        )


def range_of(document: DocumentSnapshot, start: int, end: int, encoding: PositionEncoding) -> lsp.Range:
    """``[start, end)`` of `document` as the client counts."""
    return lsp.Range(
        lsp.Position(*document.position_at(start, encoding)),
        lsp.Position(*document.position_at(end, encoding)),
    )


def inline_list(
    document: DocumentSnapshot, suggestions: Sequence[Suggestion], encoding: PositionEncoding
) -> lsp.InlineCompletionList:
    """Ghost text, best first."""
    return lsp.InlineCompletionList([inline_item(document, item, encoding) for item in suggestions])


def inline_item(
    document: DocumentSnapshot, suggestion: Suggestion, encoding: PositionEncoding
) -> lsp.InlineCompletionItem:
    """One piece of ghost text.

    VS Code shows an item only while the text in its range begins its `filterText`, which by default
    is the inserted text; where that does not begin so (an entry selected by fuzzy match), the range's
    text is put before it.
    """
    present = document.text[suggestion.start : suggestion.end]
    return lsp.InlineCompletionItem(
        insert_text=suggestion.text,
        filter_text=None if suggestion.text.startswith(present) else present + suggestion.text,
        range=range_of(document, suggestion.start, suggestion.end, encoding),
    )


def completion_list(
    document: DocumentSnapshot,
    suggestions: Sequence[Suggestion],
    offset: int,
    encoding: PositionEncoding,
    support: ItemSupport,
) -> lsp.CompletionList:
    """Entries of the completion list, best first; incomplete, because the next key changes them."""
    items = [
        completion_item(document, suggestion, offset, encoding, support, rank)
        for rank, suggestion in enumerate(suggestions)
    ]
    return lsp.CompletionList(is_incomplete=True, items=items)


def completion_item(
    document: DocumentSnapshot,
    suggestion: Suggestion,
    offset: int,
    encoding: PositionEncoding,
    support: ItemSupport,
    rank: int,
) -> lsp.CompletionItem:
    """One entry for the cursor at `offset`; `rank` 0 is the best and alone may be preselected.

    The edit takes in the word before the cursor: editors filter by the word from the edit's start or
    by word rules of their own, and `filterText` answers to both.
    """
    start = min(suggestion.start, offset - len(_word_before(document, offset)))
    text = document.text[start : suggestion.start] + suggestion.text
    n_lines = suggestion.text.strip("\n").count("\n") + 1
    label, is_cut = _label(text)
    several = "\n" in suggestion.text
    return lsp.CompletionItem(
        label=label,
        kind=lsp.CompletionItemKind.Text,
        detail=MARK if n_lines == 1 else f"{MARK}, {n_lines} lines",
        documentation=_documentation(text, document.language_id, support) if several or is_cut else None,
        preselect=True if support.preselect and rank == 0 else None,
        sort_text=f" {rank:03}",  # a blank comes before every other server's first letter
        filter_text=text,
        insert_text_format=lsp.InsertTextFormat.PlainText,
        insert_text_mode=lsp.InsertTextMode.AsIs if several and support.as_is else None,
        text_edit=lsp.TextEdit(range_of(document, start, suggestion.end, encoding), text),
    )


def _word_before(document: DocumentSnapshot, offset: int) -> str:
    line_start = document.line_start(document.line_at(offset))
    found = _WORD_BEFORE.search(document.text[line_start:offset])
    return found.group() if found else ""


def _label(text: str) -> tuple[str, bool]:
    """The first line that says something, and whether it was cut."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    first = lines[0] if lines else text
    cut = len(first) > LONGEST_LABEL
    shown = first[:LONGEST_LABEL].rstrip() if cut else first
    return (shown + "…" if cut or len(lines) > 1 else shown), cut


def _documentation(text: str, language_id: str, support: ItemSupport) -> lsp.MarkupContent:
    if not support.markdown:
        return lsp.MarkupContent(lsp.MarkupKind.PlainText, text)
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return lsp.MarkupContent(lsp.MarkupKind.Markdown, f"{fence}{language_id}\n{text}\n{fence}")

"""Suggestions as items: units, filter texts, and nothing the client did not ask for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from lsprotocol import types as lsp
from lsprotocol.converters import get_converter

from hef_lsp.convert import ItemSupport, completion_list, inline_list
from hef_lsp.documents import DocumentSnapshot, PositionEncoding

ALL = ItemSupport(markdown=True, as_is=True, preselect=True)
UTF16 = PositionEncoding.UTF16


@dataclass(frozen=True)
class Suggestion:
    """The fields of `hef_lsp.engine.Suggestion`."""

    text: str
    start: int
    end: int


def document(text: str) -> DocumentSnapshot:
    return DocumentSnapshot.of("file:///w/a.py", 1, "python", text)


def inserted(text: str, *texts: str) -> tuple[DocumentSnapshot, list[Suggestion], int]:
    """A document with its cursor at ``|``, and plain insertions there."""
    offset = text.index("|")
    doc = document(text.replace("|", ""))
    return doc, [Suggestion(item, offset, offset) for item in texts], offset


def entry(text: str, suggestion: str, support: ItemSupport = ALL) -> lsp.CompletionItem:
    doc, suggestions, offset = inserted(text, suggestion)
    return completion_list(doc, suggestions, offset, UTF16, support).items[0]


def applied(doc: DocumentSnapshot, edit: lsp.TextEdit, encoding: PositionEncoding) -> str:
    start, end = (
        doc.offset_at(place.line, place.character, encoding) for place in (edit.range.start, edit.range.end)
    )
    return doc.text[:start] + edit.new_text + doc.text[end:]


@pytest.mark.parametrize(
    ("encoding", "character"),
    [(PositionEncoding.UTF8, 7), (PositionEncoding.UTF16, 5), (PositionEncoding.UTF32, 4)],
)
def test_ranges_are_in_the_clients_units(encoding: PositionEncoding, character: int) -> None:
    doc, suggestions, _ = inserted("x\n'😀' |\n", "+ y")
    item = inline_list(doc, suggestions, encoding).items[0]
    place = lsp.Position(1, character)
    assert item.range == lsp.Range(place, place)
    assert item.insert_text == "+ y"


def test_a_plain_insertion_needs_no_filter_text() -> None:
    doc, suggestions, _ = inserted("def f|", "oo():\n    pass")
    assert inline_list(doc, suggestions, UTF16).items[0].filter_text is None


def test_a_fuzzily_selected_entry_is_shown_because_its_filter_text_begins_with_the_ranges_text() -> None:
    doc = document("x = prt")
    extends, fuzzy = Suggestion("prtbl(x)", 4, 7), Suggestion("print(x)", 4, 7)
    items = inline_list(doc, [extends, fuzzy], UTF16).items
    assert items[0].filter_text is None
    assert items[1].filter_text is not None and items[1].filter_text.startswith("prt")


@pytest.mark.parametrize("encoding", list(PositionEncoding))
def test_the_edit_is_on_one_line_holds_the_cursor_and_gives_the_suggested_text(
    encoding: PositionEncoding,
) -> None:
    doc, suggestions, offset = inserted("é = 1\r\n漢 = comp|)\r\n", "ute(1,\n        2")
    item = completion_list(doc, suggestions, offset, encoding, ALL).items[0]
    assert isinstance(item.text_edit, lsp.TextEdit)
    place = item.text_edit.range
    assert place.start.line == place.end.line == 1
    assert place.start.character <= doc.position_at(offset, encoding)[1] <= place.end.character
    assert applied(doc, item.text_edit, encoding) == "é = 1\r\n漢 = compute(1,\n        2)\r\n"


def test_filter_text_survives_both_the_edits_start_and_the_clients_word() -> None:
    item = entry("    retu|", "rn total")
    assert item.filter_text == "return total"
    assert isinstance(item.text_edit, lsp.TextEdit)
    assert item.text_edit.range.start.character == 4
    assert item.insert_text is None and item.additional_text_edits is None


@pytest.mark.parametrize(
    ("text", "suggestion", "label"),
    [
        ("x = |", "compute(1)", "compute(1)"),
        ("retu|", "rn x", "return x"),
        ("if x:|", "\n    return 1\n    # more", "return 1…"),
        ("x = |", "a" * 100, "a" * 80 + "…"),
        ("x|", "  ", "x"),
    ],
)
def test_label_is_the_first_line_that_says_something(text: str, suggestion: str, label: str) -> None:
    assert entry(text, suggestion).label == label


def test_only_the_best_is_preselected_and_all_rank_before_others() -> None:
    doc, suggestions, offset = inserted("|", "a", "b", "c")
    items = completion_list(doc, suggestions, offset, UTF16, ALL).items
    assert [item.preselect for item in items] == [True, None, None]
    sort_texts = [item.sort_text for item in items]
    assert sort_texts == sorted(sort_texts, key=str) and max(str(text) for text in sort_texts) < "!"
    assert completion_list(doc, [], offset, UTF16, ALL).is_incomplete


def test_indentation_is_taken_as_it_is_where_there_are_several_lines() -> None:
    assert entry("if x:|", "\n    y").insert_text_mode is lsp.InsertTextMode.AsIs
    assert entry("x = |", "y").insert_text_mode is None


def test_documentation_is_a_fence_longer_than_any_in_the_code() -> None:
    item = entry("|", 'x = """\n```\n"""')
    assert isinstance(item.documentation, lsp.MarkupContent)
    assert item.documentation.value == '````python\nx = """\n```\n"""\n````'
    assert entry("|", "x").documentation is None
    plain = entry("|", "x\ny", ItemSupport()).documentation
    assert plain == lsp.MarkupContent(lsp.MarkupKind.PlainText, "x\ny")


def test_a_client_that_offers_nothing_gets_nothing_optional() -> None:
    item = entry("if x:|", "\n    y", ItemSupport())
    assert item.insert_text_mode is None and item.preselect is None


def test_support_is_read_from_capabilities_and_their_gaps() -> None:
    options = lsp.ClientCompletionItemOptions(
        preselect_support=True,
        documentation_format=[lsp.MarkupKind.Markdown],
        insert_text_mode_support=lsp.ClientCompletionItemInsertTextModeOptions([lsp.InsertTextMode.AsIs]),
    )
    completion = lsp.CompletionClientCapabilities(completion_item=options)
    full = lsp.ClientCapabilities(text_document=lsp.TextDocumentClientCapabilities(completion=completion))
    assert ItemSupport.of(full) == ALL
    assert ItemSupport.of(None) == ItemSupport.of(lsp.ClientCapabilities()) == ItemSupport()


def test_insert_text_is_a_plain_string_on_the_wire() -> None:
    doc, suggestions, _ = inserted("x = |", "f(${1})")
    wire = get_converter().unstructure(inline_list(doc, suggestions, UTF16))
    assert wire["items"][0]["insertText"] == "f(${1})"

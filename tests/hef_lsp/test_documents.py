"""Documents against a naive reference: split at the protocol's line endings, count unit by unit."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hef_lsp.documents import (
    FEW_CHANGES,
    DocumentSnapshot,
    DocumentStore,
    InvalidPosition,
    PositionEncoding,
    TextChange,
    UnknownDocument,
)

URI = "file:///w/a.py"
UTF8, UTF16, UTF32 = PositionEncoding.UTF8, PositionEncoding.UTF16, PositionEncoding.UTF32
PIECES = ["a", "b ", "\n", "\r", "\r\n", "\f", "\u2028", "\u0085", "é", "漢", "😀", "\t", "e\u0301", "\x1c"]
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
encodings = st.sampled_from(list(PositionEncoding))
places = st.tuples(st.integers(0, 12), st.integers(0, 12))
changes = st.builds(TextChange, st.none() | st.tuples(places, places), texts)


def document(text: str, version: int = 0) -> DocumentSnapshot:
    return DocumentSnapshot.of(URI, version, "python", text)


def naive_lines(text: str) -> list[tuple[str, str]]:
    """(content, ending) of each line, by reading character after character."""
    lines, content, i = [], "", 0
    while i < len(text):
        ending = "\r\n" if text[i : i + 2] == "\r\n" else text[i] if text[i] in "\r\n" else ""
        if ending:
            lines.append((content, ending))
            content = ""
        else:
            content += text[i]
        i += len(ending) or 1
    return [*lines, (content, "")]


def naive_units(character: str, encoding: PositionEncoding) -> int:
    return {UTF8: len(character.encode()), UTF16: 1 + (ord(character) > 0xFFFF), UTF32: 1}[encoding]


def naive_offset(text: str, line: int, character: int, encoding: PositionEncoding) -> int:
    lines = naive_lines(text)
    if line >= len(lines):
        return len(text)
    offset = sum(len(content) + len(ending) for content, ending in lines[:line])
    for letter in lines[line][0]:
        character -= naive_units(letter, encoding)
        if character < 0:
            return offset
        offset += 1
    return offset


def naive_edit(text: str, change: TextChange, encoding: PositionEncoding) -> str:
    if change.range is None:
        return change.text
    start, end = sorted(naive_offset(text, *place, encoding) for place in change.range)
    return text[:start] + change.text + text[end:]


@given(texts)
def test_lines_equal_the_naive_split(text: str) -> None:
    doc = document(text)
    expected = naive_lines(text)
    assert doc.n_lines == len(expected)
    assert [doc.line_text(i) for i in range(doc.n_lines)] == [content for content, _ in expected]
    begins = [doc.line_start(i) for i in range(doc.n_lines)]
    assert begins == [sum(len(c) + len(e) for c, e in expected[:i]) for i in range(len(expected))]


@given(texts, places, encodings)
def test_offsets_equal_counting_unit_by_unit(
    text: str, place: tuple[int, int], encoding: PositionEncoding
) -> None:
    assert document(text).offset_at(*place, encoding) == naive_offset(text, *place, encoding)


@given(texts, encodings)
def test_positions_and_offsets_are_inverse(text: str, encoding: PositionEncoding) -> None:
    doc = document(text)
    for offset in range(len(text) + 1):
        line, character = doc.position_at(offset, encoding)
        assert line == doc.line_at(offset)
        inside_ending = text[offset - 1 : offset + 1] == "\r\n" and offset > 0
        assert doc.offset_at(line, character, encoding) == offset - inside_ending


@given(texts, st.lists(changes, max_size=6), encodings)
def test_edits_equal_edits_of_a_plain_string(
    text: str, edits: list[TextChange], encoding: PositionEncoding
) -> None:
    expected, one_by_one = text, document(text)
    for edit in edits:
        expected = naive_edit(expected, edit, encoding)
        one_by_one = one_by_one.edited(1, [edit], encoding)
        assert one_by_one.text == expected
        assert one_by_one.lines.starts.tolist() == document(expected).lines.starts.tolist()
    at_once = document(text).edited(1, edits, encoding)
    assert at_once == document(expected, 1)


@given(texts, st.lists(changes, min_size=FEW_CHANGES + 1, max_size=14), encodings, st.booleans())
def test_many_changes_in_one_notification_equal_one_by_one(
    text: str, edits: list[TextChange], encoding: PositionEncoding, last_first: bool
) -> None:
    if last_first:  # the order in which editors send a replace-all
        edits = sorted(edits, key=lambda edit: max(edit.range) if edit.range else (0, 0), reverse=True)
    expected = text
    for edit in edits:
        expected = naive_edit(expected, edit, encoding)
    result = document(text).edited(1, edits, encoding)
    assert result.text == expected
    assert result.lines.starts.tolist() == document(expected).lines.starts.tolist()


def test_form_feed_and_unicode_separators_end_no_line() -> None:
    doc = document("a\fb\u2028c\u0085d\x0b\x1c\nnext")
    assert doc.n_lines == 2
    assert doc.edited(1, [TextChange(((1, 0), (1, 4)), "NEXT")], UTF16).text.endswith("\nNEXT")


def test_carriage_return_and_newline_joined_and_parted_by_edits() -> None:
    doc = document("a\r").edited(1, [TextChange(((1, 0), (1, 0)), "\nb")], UTF16)
    assert (doc.text, doc.n_lines) == ("a\r\nb", 2)
    parted = document("a\rX\nb").edited(1, [TextChange(((1, 0), (1, 1)), "")], UTF16)
    assert (parted.text, parted.n_lines) == ("a\r\nb", 2)


def test_position_past_the_end_of_a_last_line_without_newline_is_its_end() -> None:
    assert document("ab\ncd").offset_at(1, 99, UTF16) == 5
    assert document("ab\n").offset_at(1, 0, UTF16) == 3  # an empty last line is not the line before
    assert document("ab\n").position_at(3, UTF16) == (1, 0)
    assert document("ab\r\ncd").offset_at(0, 2**31 - 1, UTF16) == 2  # before the line ending
    assert document("ab").offset_at(7, 0, UTF16) == 2


def test_position_inside_a_character_rounds_down() -> None:
    assert document("a😀b").offset_at(0, 2, UTF16) == 1
    assert [document("a😀b").offset_at(0, i, UTF8) for i in range(7)] == [0, 1, 1, 1, 1, 2, 3]


@pytest.mark.parametrize("place", [(-1, 0), (0, -1)])
def test_negative_position_is_named_and_changes_nothing(place: tuple[int, int]) -> None:
    store = DocumentStore()
    store.open(URI, "python", 1, "abc")
    with pytest.raises(InvalidPosition, match="negative; lines and characters count from 0"):
        store.change(URI, 2, [TextChange(None, "x"), TextChange((place, (0, 0)), "y")], UTF16)
    kept = store.get(URI)
    assert kept is not None and (kept.version, kept.text) == (1, "abc")


@pytest.mark.parametrize("offset", [-1, 4])
def test_offset_outside_the_text_is_named(offset: int) -> None:
    with pytest.raises(InvalidPosition, match="outside the text of 3 characters"):
        document("abc").position_at(offset, UTF16)


def test_range_sent_end_first_is_put_right() -> None:
    assert document("abcd").edited(1, [TextChange(((0, 3), (0, 1)), "-")], UTF16).text == "a-d"


def test_lone_surrogates_from_json_become_replacement_characters_of_the_same_length() -> None:
    doc = document("a\ud83db").edited(1, [TextChange(((0, 3), (0, 3)), "\udc00c")], UTF16)
    assert doc.text == "a\ufffdb\ufffdc"
    assert [doc.offset_at(0, i, UTF16) for i in range(6)] == [0, 1, 2, 3, 4, 5]
    assert doc.text.encode("utf-8")


def test_an_edit_leaves_the_older_snapshot_as_it_was() -> None:
    store = DocumentStore()
    before = store.open(URI, "python", 1, "one\ntwo")
    after = store.change(URI, 7, [TextChange(((0, 0), (0, 0)), "zero\n")], UTF16)
    assert (before.version, before.text, before.n_lines) == (1, "one\ntwo", 2)
    assert (after.version, after.text, after.n_lines) == (7, "zero\none\ntwo", 3)
    assert store.get(URI) is after and store.all() == (after,)


def test_change_of_a_document_that_is_not_open_is_named() -> None:
    with pytest.raises(UnknownDocument, match="must send textDocument/didOpen first"):
        DocumentStore().change(URI, 2, [TextChange(None, "x")], UTF16)


def test_close_frees_the_document() -> None:
    store = DocumentStore()
    store.open(URI, "python", 1, "x")
    store.close(URI)
    store.close(URI)
    assert store.get(URI) is None and store.all() == ()


def test_one_key_in_fifty_thousand_lines_costs_far_less_than_a_re_split() -> None:
    text = "    value = compute(value, 12)  # a line like many\n" * 50_000
    doc = document(text)
    key = [TextChange(((25_000, 4), (25_000, 4)), "x")]
    doc.edited(1, key, UTF16)

    def best(work: object) -> float:
        times = []
        for _ in range(7):
            began = time.process_time()
            work()  # type: ignore[operator]
            times.append(time.process_time() - began)
        return min(times)

    by_edit = best(lambda: doc.edited(1, key, UTF16))
    by_split = best(lambda: re.split("\r\n|\n|\r", text))
    assert by_edit < by_split, (by_edit, by_split)


def test_ten_thousand_changes_from_the_last_to_the_first_take_one_copy() -> None:
    text = "alpha = alpha + 1\n" * 10_000
    edits = [TextChange(((line, 0), (line, 5)), "beta") for line in reversed(range(10_000))]
    began = time.process_time()
    result = document(text).edited(1, edits, UTF16)
    assert result.text == "beta = alpha + 1\n" * 10_000
    assert time.process_time() - began < 30  # one by one took over ten seconds

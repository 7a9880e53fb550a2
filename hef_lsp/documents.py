r"""The open documents as the client has them: immutable text, version, and places both ways.

Owns the text of open documents and their line tables. Not the workspace's files on disk, and not the
protocol's types: positions are plain (line, character) pairs, so that pygls' own document, which
splits at form feeds and U+2028 as well, is never asked.

`DocumentSnapshot` may be read by any thread; `DocumentStore` is written by the event loop alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hef_lsp.line_table import LineTable
from hef_lsp.position_units import PositionEncoding, index_to_units, units_to_index

__all__ = [
    "DocumentSnapshot",
    "DocumentStore",
    "InvalidPosition",
    "LinePosition",
    "PositionEncoding",
    "TextChange",
    "UnknownDocument",
]

LinePosition = tuple[int, int]
"""A line and a character on it, both from 0, the character in the client's units."""

Splice = tuple[int, int, str]
"""``[start, end)`` of a text and what takes its place."""

FEW_CHANGES = 8
"""Up to so many changes of one notification are made one by one, each at the cost of a copy of the text."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidPosition(ValueError):
    """A line, character or offset that no document has."""


class UnknownDocument(LookupError):
    """A change for a document that is not open."""


@dataclass(frozen=True)
class TextChange:
    """`text` in place of `range` (start, end), or of the whole document where `range` is None."""

    range: tuple[LinePosition, LinePosition] | None
    text: str


@dataclass(frozen=True)
class DocumentSnapshot:
    """One version of one document; never changes. Make it with `of`.

    The text holds no lone surrogates: JSON can carry them, tokenizers and files cannot. Each became
    U+FFFD, which is as long in every encoding.
    """

    uri: str
    version: int
    language_id: str
    text: str
    _lines: LineTable | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def of(uri: str, version: int, language_id: str, text: str) -> DocumentSnapshot:
        """A snapshot of `text` as it came from the client or the disk."""
        return DocumentSnapshot(uri, version, language_id, _without_surrogates(text))

    @cached_property
    def lines(self) -> LineTable:
        return self._lines if self._lines is not None else LineTable.of(self.text)

    @property
    def n_lines(self) -> int:
        """At least 1; a text that ends with a line ending has an empty last line."""
        return len(self.lines)

    def line_start(self, line: int) -> int:
        """The offset at which `line` begins; the end of the text for a line past the last."""
        if line < 0:
            raise InvalidPosition(f"line {line} is negative; lines count from 0")
        return self.lines.start(line) if line < self.n_lines else len(self.text)

    def line_at(self, offset: int) -> int:
        """The line that holds `offset`, 0 <= offset <= length of the text."""
        return self.lines.line_at(self._checked(offset))

    def line_text(self, line: int) -> str:
        """The text of `line` without its ending; empty for a line past the last."""
        return self.text[self.line_start(line) : self._content_end(line)]

    def offset_at(self, line: int, character: int, encoding: PositionEncoding) -> int:
        """The offset of a position. Past the end of the line is its end, before the line ending; past
        the last line is the end of the text; inside a character rounds down to its beginning.

        Raises `InvalidPosition` for negative numbers.
        """
        if line < 0 or character < 0:
            raise InvalidPosition(
                f"position {line}:{character} is negative; lines and characters count from 0"
            )
        if line >= self.n_lines:
            return len(self.text)
        return self.line_start(line) + units_to_index(self.line_text(line), character, encoding)

    def position_at(self, offset: int, encoding: PositionEncoding) -> LinePosition:
        r"""The position of `offset`; between ``\r`` and ``\n`` it is the end of their line.

        Raises `InvalidPosition` for an offset outside the text.
        """
        line = self.line_at(offset)
        return line, index_to_units(self.line_text(line), offset - self.line_start(line), encoding)

    def edited(
        self, version: int, changes: Sequence[TextChange], encoding: PositionEncoding
    ) -> DocumentSnapshot:
        """The document after `changes`, each of which counts in the text that the one before it left.

        Raises `InvalidPosition` for negative positions; this snapshot stays as it is.
        """
        if len(changes) > FEW_CHANGES:
            result = _edited_in_runs(self, changes, encoding)
        else:
            result = self
            for change in changes:
                result = _edited_once(result, change, encoding)
        return DocumentSnapshot(self.uri, version, self.language_id, result.text, result.lines)

    def _content_end(self, line: int) -> int:
        end = self.line_start(line + 1)
        if line + 1 >= self.n_lines:
            return end
        return end - (2 if self.text[end - 2 : end] == "\r\n" else 1)

    def _checked(self, offset: int) -> int:
        if not 0 <= offset <= len(self.text):
            raise InvalidPosition(f"offset {offset} is outside the text of {len(self.text)} characters")
        return offset


class DocumentStore:
    """The open documents by URI. Versions may jump; what was closed is freed."""

    def __init__(self) -> None:
        self._documents: dict[str, DocumentSnapshot] = {}

    def open(self, uri: str, language_id: str, version: int, text: str) -> DocumentSnapshot:
        """Takes the text from the client; a document opened twice begins anew."""
        self._documents[uri] = DocumentSnapshot.of(uri, version, language_id, text)
        return self._documents[uri]

    def change(
        self, uri: str, version: int, changes: Sequence[TextChange], encoding: PositionEncoding
    ) -> DocumentSnapshot:
        """The new snapshot. Raises `UnknownDocument`, or `InvalidPosition` and then keeps the old text."""
        known = self._documents.get(uri)
        if known is None:
            raise UnknownDocument(f"{uri} is not open; the client must send textDocument/didOpen first")
        self._documents[uri] = known.edited(version, changes, encoding)
        return self._documents[uri]

    def close(self, uri: str) -> None:
        """Forgets the document; nothing to do for one that is not open."""
        self._documents.pop(uri, None)

    def get(self, uri: str) -> DocumentSnapshot | None:
        return self._documents.get(uri)

    def all(self) -> tuple[DocumentSnapshot, ...]:
        return tuple(self._documents.values())


def _without_surrogates(text: str) -> str:
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _splice_of(document: DocumentSnapshot, change: TextChange, encoding: PositionEncoding) -> Splice:
    text = _without_surrogates(change.text)
    if change.range is None:
        return 0, len(document.text), text
    # The protocol wants start <= end; editors have sent them the other way round.
    (start, end) = sorted(document.offset_at(*place, encoding) for place in change.range)
    return start, end, text


def _edited_once(
    document: DocumentSnapshot, change: TextChange, encoding: PositionEncoding
) -> DocumentSnapshot:
    start, end, inserted = _splice_of(document, change, encoding)
    text = "".join((document.text[:start], inserted, document.text[end:]))
    lines = document.lines.edited(text, start, end, len(inserted))
    return DocumentSnapshot(document.uri, document.version, document.language_id, text, lines)


def _edited_in_runs(
    document: DocumentSnapshot, changes: Sequence[TextChange], encoding: PositionEncoding
) -> DocumentSnapshot:
    """Equals `_edited_once` for each change, but copies the text once for each run of changes that go up.

    Editors send the thousands of changes of a replace-all from the last to the first. A change that
    ends before the one before it began has the same offsets in the untouched text.
    """
    run: list[Splice] = []
    limit: LinePosition | None = None
    for change in changes:
        if run and not _ends_before(change, limit):
            document, run = _spliced(document, run), []
        start, end, text = _splice_of(document, change, encoding)
        run.append((start, end, text))
        limit = document.position_at(start, encoding)
    return _spliced(document, run)


def _ends_before(change: TextChange, limit: LinePosition | None) -> bool:
    r"""Whether `change` ends at or before `limit`, the place where the last change began.

    Not at the beginning of a line: a ``\n`` put there may join a ``\r`` that stands before it.
    """
    if change.range is None or limit is None:
        return False
    end = max(change.range)
    return end < limit or (end == limit and end[1] > 0)


def _spliced(document: DocumentSnapshot, run: Sequence[Splice]) -> DocumentSnapshot:
    """`run` goes from the last place to the first, all in offsets of `document`."""
    pieces: list[str] = []
    position = 0
    for start, end, text in reversed(run):
        pieces += (document.text[position:start], text)
        position = end
    pieces.append(document.text[position:])
    return DocumentSnapshot(document.uri, document.version, document.language_id, "".join(pieces))

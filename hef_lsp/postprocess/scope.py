"""Cuts the suggestion where the block that it stands in, or begins, ends.

A one-line suggestion ends with its line, which is the next one where the cursor's is complete and the
generator goes on below. A block ends at the first line that is less indented than it;
a line of closing brackets (or `end`) at the border still belongs to it.
"""

from __future__ import annotations

import re

from hef_lsp.postprocess.draft import Draft
from hef_lsp.text_lines import first_line, indent_width, opens_block
from model.brackets import BracketScanner

_CLOSER = re.compile(r"\s*(?:[)\]}]+[)\]};,]*|end\b[;,)]*|</[\w.-]+>)\s*")
_BEGINS_WITH_CLOSER = re.compile(r"\s*(?:[)\]}]|end\b|</)")
_OPENING_MARKS = ("(", "[", ":", "->")
_LONG_TEXT_MARKS = ('"""', "'''", "`", "/*")
PREFIX_LINES = 200
"""Lines of the prefix scanned for a string or comment that is open at the cursor."""


def cut_at_scope(draft: Draft) -> Draft | None:
    """Only the line, or only the block."""
    lines = draft.lines
    border = indent_width(lines[0]) if lines[0].strip() else indent_width(draft.line_prefix)
    if not draft.multiline:
        return draft.first_lines(_end_of_line(draft, lines, border))
    code = [number for number in _lines_of_code(draft) if number]
    if _opens(lines[0], draft.language):
        return draft.first_lines(_end_of_opened(lines, code, border, draft.language))
    return draft.first_lines(_end_of_enclosing(lines, code, border))


def _opens(line: str, language: str | None) -> bool:
    return line.rstrip().endswith(_OPENING_MARKS) or opens_block(line, language)


def _lines_of_code(draft: Draft) -> list[int]:
    """The lines whose indentation counts: neither blank nor begun inside a long string or comment."""
    scanner = None
    if any(mark in draft.text for mark in _LONG_TEXT_MARKS):
        scanner = BracketScanner(slash_comments=draft.comment == "//")
        for line in draft.prefix.split("\n")[-PREFIX_LINES:-1]:
            scanner.feed(line)
    numbers: list[int] = []
    for number, line in enumerate(draft.lines):
        if line.strip() and not (scanner and scanner.in_multiline_text):
            numbers.append(number)
        if scanner:
            scanner.feed(line)
    return numbers


def _end_of_line(draft: Draft, lines: list[str], border: int) -> int:
    """1, or up to the first line below with text, if only that was generated and it stays in the block."""
    if first_line(draft.text).strip() or draft.line_suffix.strip():
        return 1
    below = next((number for number, line in enumerate(lines[1:], start=1) if line.strip()), 0)
    return below + 1 if indent_width(lines[below]) >= border else 1


def _end_of_opened(lines: list[str], code: list[int], border: int, language: str | None) -> int:
    """How many lines the block has that the first line opens: up to the line that closes it."""
    for number in code:
        line = lines[number]
        if indent_width(line) <= border:
            closes = indent_width(line) == border and _BEGINS_WITH_CLOSER.match(line) is not None
            if not (closes and _opens(line, language)):  # "} else {" goes on with the same statement
                return number + closes
    return len(lines)


def _end_of_enclosing(lines: list[str], code: list[int], border: int) -> int:
    """How many lines stand before the block around the cursor ends; a bare closer of it comes along."""
    for number in code:
        width = indent_width(lines[number])
        if width < border:
            return number + (_CLOSER.fullmatch(lines[number]) is not None)
        if border == width == 0 and not lines[number - 1].strip():
            return number  # nothing is less indented than the top level: there a blank line ends it
    return len(lines)

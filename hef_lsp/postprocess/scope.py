"""Cuts the suggestion where the block that it stands in, or begins, ends.

A one-line suggestion ends with its line. A block ends at the first line that is less indented than it;
a line of closing brackets (or `end`) at the border still belongs to it.
"""

from __future__ import annotations

import re

from hef_lsp.postprocess.draft import Draft
from hef_lsp.text_lines import first_line, indent_width, opens_block

_CLOSER = re.compile(r"\s*(?:[)\]}]+[)\]};,]*|end\b[;,)]*|</[\w.-]+>)\s*")
_BEGINS_WITH_CLOSER = re.compile(r"\s*(?:[)\]}]|end\b|</)")
_OPENING_MARKS = ("(", "[", ":", "->")


def cut_at_scope(draft: Draft) -> Draft | None:
    """Only the line, or only the block."""
    if not draft.multiline:
        return draft.with_text(first_line(draft.text))
    lines = draft.lines
    border = indent_width(lines[0]) if lines[0].strip() else indent_width(draft.line_prefix)
    if _opens(lines[0], draft.language):
        return draft.first_lines(_end_of_opened(lines, border, draft.language))
    return draft.first_lines(_end_of_enclosing(lines, border))


def _opens(line: str, language: str | None) -> bool:
    return line.rstrip().endswith(_OPENING_MARKS) or opens_block(line, language)


def _end_of_opened(lines: list[str], border: int, language: str | None) -> int:
    """How many lines the block has that the first line opens: up to the line that closes it."""
    for number, line in enumerate(lines[1:], start=1):
        if line.strip() and indent_width(line) <= border:
            closes = indent_width(line) == border and _BEGINS_WITH_CLOSER.match(line) is not None
            if not (closes and _opens(line, language)):  # "} else {" goes on with the same statement
                return number + closes
    return len(lines)


def _end_of_enclosing(lines: list[str], border: int) -> int:
    """How many lines stand before the block around the cursor ends; a bare closer of it comes along."""
    for number, line in enumerate(lines[1:], start=1):
        if not line.strip():
            continue
        if indent_width(line) < border:
            return number + (_CLOSER.fullmatch(line) is not None)
        if border == indent_width(line) == 0 and not lines[number - 1].strip():
            return number  # nothing is less indented than the top level: there a blank line ends it
    return len(lines)

"""Makes the suggestion's indentation the document's own: joined at the cursor, tabs or spaces as there."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import gcd

from hef_lsp.postprocess.draft import Draft
from hef_lsp.text_lines import TAB_WIDTH, indent_of, indent_width, opens_block

_WINDOW = 20_000
MIXED_SHARE = 0.1
"""GNU style writes eight spaces as a tab: there both are right and nothing is rewritten."""

_PLAUSIBLE_UNITS = (2, 3, 4, 8)


def fit_indentation(draft: Draft) -> Draft | None:
    """Drop blanks that stand before the cursor already; indent the other lines as the document does."""
    return _in_the_documents_style(_joined_at_cursor(draft))


def _joined_at_cursor(draft: Draft) -> Draft:
    before = draft.line_prefix
    if before.strip():
        return draft.with_text(draft.text.lstrip(" \t")) if before[-1] in " \t" else draft
    text = draft.text
    if not text.strip():
        return draft
    blank, newline, rest = text.partition("\n")
    while newline and not blank.strip():
        text = rest
        blank, newline, rest = text.partition("\n")
    surplus = indent_width(before) + indent_width(text) - _deepest_start(draft)
    return draft.with_text(_shallower(text, surplus)) if before else draft.with_text(text)


def _deepest_start(draft: Draft) -> int:
    """The most columns at which a line may begin: those of the line above, one unit more in a new block."""
    above = draft.prefix.rstrip().rpartition("\n")[2]
    if above.endswith(("(", "[", ",")):
        return len(draft.line_prefix) + len(draft.text)  # arguments may hang anywhere
    unit = _unit(draft) if above.endswith(":") or opens_block(above, draft.language) else 0
    return max(indent_width(above) + unit, indent_width(draft.line_prefix))


def _shallower(text: str, n_columns: int) -> str:
    """`text` without up to `n_columns` of its leading blanks."""
    while n_columns > 0 and text[:1] in (" ", "\t") and text[:1]:
        n_columns -= TAB_WIDTH if text[0] == "\t" else 1
        text = text[1:]
    return text


def _in_the_documents_style(draft: Draft) -> Draft:
    tabs = _uses_tabs(draft)
    if tabs is None or "\n" not in draft.text:
        return draft
    first, *rest = draft.text.split("\n")
    unit = _unit_of_generated(draft, rest) if tabs else _unit(draft)
    return draft.with_text("\n".join([first, *(_restyled(line, tabs, unit) for line in rest)]))


def _restyled(line: str, tabs: bool, unit: int) -> str:
    indent = indent_of(line)
    if tabs:
        n_tabs, n_spaces = indent.count("\t"), indent.count(" ")
        return "\t" * (n_tabs + n_spaces // unit) + " " * (n_spaces % unit) + line[len(indent) :]
    return indent.replace("\t", " " * unit) + line[len(indent) :]


def _uses_tabs(draft: Draft) -> bool | None:
    """By the document's indented lines; None where none is indented, or where both are at home."""
    firsts = Counter(line[0] for line in _nearby_lines(draft) if line[:1] in (" ", "\t") and line.strip())
    n_tabs, n_spaces = firsts["\t"], firsts[" "]
    if min(n_tabs, n_spaces) > MIXED_SHARE * (n_tabs + n_spaces) or not firsts:
        return None
    return n_tabs > n_spaces


def indentation_step(prefix: str, suffix: str) -> str:
    """What one step deeper adds to a line's indentation, as the document around the cursor does it."""
    draft = Draft("", prefix, suffix, multiline=False)
    return "\t" if _uses_tabs(draft) else " " * _unit(draft)


def _nearby_lines(draft: Draft) -> list[str]:
    return (draft.prefix[-_WINDOW:] + draft.suffix[:_WINDOW]).split("\n")


def _unit(draft: Draft) -> int:
    return _unit_of(_nearby_lines(draft))


def _unit_of(lines: list[str]) -> int:
    """The commonest step to a deeper line, in columns; `TAB_WIDTH` where there is none."""
    widths = [indent_width(line) for line in lines if line.strip()]
    steps = Counter(b - a for a, b in pairwise([0, *widths]) if 1 < b - a <= 8)
    return steps.most_common(1)[0][0] if steps else TAB_WIDTH


def _unit_of_generated(draft: Draft, rest: list[str]) -> int:
    """How many spaces the generator wrote for one tab of the document, judged by the depth at the cursor."""
    widths = [len(indent) for line in rest if line.strip() and (indent := indent_of(line)).strip(" ") == ""]
    widths = [width for width in widths if width]
    if not widths:
        return TAB_WIDTH
    opening = draft.lines[0]
    depth = opening.count("\t") + opens_block(opening, draft.language)
    if depth and widths[0] % depth == 0 and widths[0] // depth in _PLAUSIBLE_UNITS:
        return widths[0] // depth
    common = gcd(*widths)
    return common if common in _PLAUSIBLE_UNITS else TAB_WIDTH

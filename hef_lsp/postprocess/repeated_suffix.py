"""Trims the part of the suggestion that already stands after the cursor.

Models that read only to the left cannot know the suffix, and those that read it retype it at times.
A repetition made of brackets and quotes alone is left to the `brackets` filter, which counts them.
"""

from __future__ import annotations

from itertools import islice

from hef_lsp.postprocess.draft import Draft
from hef_lsp.text_lines import has_word

MOST_LINES_COMPARED = 60


def trim_repeated_suffix(draft: Draft) -> Draft | None:
    """Without the end of the line, and without the lines below, that the document has already."""
    return _without_lines_below(_without_rest_of_line(draft))


def _without_rest_of_line(draft: Draft) -> Draft:
    rest = draft.line_suffix.strip()
    if not has_word(rest):
        return draft
    first, *_ = draft.text.split("\n")
    kept = first.rstrip()
    if kept.endswith(rest):
        return draft.with_text(kept[: -len(rest)])
    overlap = next((n for n in range(len(rest), 0, -1) if kept.endswith(rest[:n])), 0)
    if overlap and has_word(rest[:overlap]) and _begins_a_word(kept, overlap):
        return draft.with_text(kept[:-overlap])
    return draft


def _begins_a_word(text: str, n_last: int) -> bool:
    """Whether the last characters do not begin in the middle of an identifier."""
    return n_last == len(text) or not (has_word(text[-n_last]) and has_word(text[-n_last - 1]))


def _without_lines_below(draft: Draft) -> Draft:
    below = _lines_below(draft)
    lines = [line.rstrip() for line in draft.lines]
    first = 1 if draft.line_prefix.strip() else 0
    for start in range(first, len(lines)):
        here = [line for line in lines[start:] if line]
        if here and has_word("".join(here)) and here == below[: len(here)]:
            return draft.with_text("") if start == 0 else draft.first_lines(start)
    return draft


def _lines_below(draft: Draft) -> list[str]:
    lines = (line.rstrip() for line in draft.suffix.split("\n")[1:])
    return list(islice((line for line in lines if line), MOST_LINES_COMPARED))

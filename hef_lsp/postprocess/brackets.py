"""Keeps brackets and quotes balanced across prefix, suggestion and suffix.

Models like to close what the editor has closed already, or one scope too many. Of all places before a
closer of the suggestion that closes something outside it, this filter cuts where the fewest marks of
the joined text are left without a partner; where cutting gains nothing it leaves the suggestion alone.
A quote is doubted only if the cursor's line goes on with one: what lies farther off proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from hef_lsp.postprocess.draft import Draft

PREFIX_WINDOW = 12_000
SUFFIX_WINDOW = 6_000
MOST_CUTS_TRIED = 12

_PARTNER = {")": "(", "]": "[", "}": "{"}
_STRING = {
    quote: re.compile(
        rf"{quote}(?:\\.|[^{quote}\\\n])*{quote}" if quote != "`" else r"`(?:\\.|[^`\\])*`", re.DOTALL
    )
    for quote in "\"'`"
}
_LIFETIME = r"(?<=[&<])'[a-z_]\w*\b(?!')|'[a-z_]\w*(?=>)"
"""Rust's, with a quote that opens no string."""


@dataclass(frozen=True)
class _Closing:
    """A closing `mark` at `place`; `opened_at` is None where it has no partner."""

    mark: str
    place: int
    opened_at: int | None


def balance_brackets(draft: Draft) -> Draft | None:
    """Cut before the closer that the document closes already or that closes too much."""
    before, after = draft.prefix[-PREFIX_WINDOW:], draft.suffix[:SUFFIX_WINDOW]
    begin, end = len(before), len(before) + len(draft.text)
    closings = list(_closings(before + draft.text + after, draft.comment))
    outward = [
        closing.place - begin
        for closing in closings
        if begin <= closing.place < end
        and (closing.opened_at is None or closing.opened_at < begin)
        and (closing.mark in ")]}" or closing.mark in draft.line_suffix)
    ]
    best, fewest = draft.text, _n_unmatched(closings)
    for cut in reversed(outward[:MOST_CUTS_TRIED]):
        text = draft.text[:cut]
        n_unmatched = _n_unmatched(_closings(before + text + after, draft.comment))
        if n_unmatched < fewest:
            best, fewest = text, n_unmatched
    return draft.with_text(best)


def _n_unmatched(closings: Iterator[_Closing] | list[_Closing]) -> int:
    return sum(closing.opened_at is None for closing in closings)


def _closings(text: str, comment: str) -> Iterator[_Closing]:
    """Every closing bracket and quote of `text`, in order.

    A closer passes over openers of other kinds that were never closed, as half-typed code has them. A
    quote that its line does not close counts as one mark without partner (an apostrophe, a lifetime).
    """
    stack: list[tuple[str, int]] = []
    marks = _marks(comment)
    place = 0
    while found := marks.search(text, place):
        mark, start = found.group(), found.start()
        place = found.end()
        if mark in "([{":
            stack.append((mark, start))
        elif mark in ")]}":
            yield _Closing(mark, start, _pop(stack, _PARTNER[mark]))
        elif mark == comment:
            place = _after(text, "\n", place)
        elif mark == "/*":
            place = _after(text, "*/", place)
        elif mark in ("'", '"', "`", '"""', "'''"):
            place = _end_of_string(text, mark, start)
            yield _Closing(mark, place - len(mark), start if place > found.end() else None)


@lru_cache(maxsize=8)
def _marks(comment: str) -> re.Pattern[str]:
    comments = [re.escape(comment)] if comment else []
    if comment == "//":
        comments.append(r"/\*")
    return re.compile("|".join([*comments, _LIFETIME, r'"""', r"'''", r"[\"'`]", r"[()\[\]{}]"]))


def _pop(stack: list[tuple[str, int]], opener: str) -> int | None:
    for height in range(len(stack) - 1, -1, -1):
        if stack[height][0] == opener:
            opened_at = stack[height][1]
            del stack[height:]
            return opened_at
    return None


def _after(text: str, end: str, place: int) -> int:
    found = text.find(end, place)
    return len(text) if found < 0 else found + len(end)


def _end_of_string(text: str, quote: str, start: int) -> int:
    """Where the string ends that begins at `start`; just after the quote where nothing closes it."""
    if len(quote) == 3:
        found = text.find(quote, start + 3)
        return start + 3 if found < 0 else found + 3
    string = _STRING[quote].match(text, start)
    return start + 1 if string is None else string.end()

"""Follows brackets through source text line by line, passing over strings and comments.

Owns a light scan for any language, for deciding where a suggestion ends. It is no parser: it
knows quotes, the two families of comments and Python's triple quotes, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPENERS = "([{"
CLOSERS = ")]}"
_PARTNER = {")": "(", "]": "[", "}": "{"}
_MULTILINE_END = {'"""': '"""', "'''": "'''", "/*": "*/", "`": "`"}

# A single quote after `&` or `<` opens a Rust lifetime, not a string.
_STRINGS = r'"""|\'\'\'|"(?:\\.|[^"\\])*"|(?<![&<])\'(?:\\.|[^\'\\])*\''
_BRACKETS = r"[\[\](){}]"
_HASH_MARKS = re.compile(rf"{_STRINGS}|(?:^|(?<=\s))#.*|{_BRACKETS}")
_SLASH_MARKS = re.compile(rf"{_STRINGS}|//.*|/\*|`|{_BRACKETS}")

# `//` is a comment in one family and a division in the other: the text before the cursor tells.
_SLASH_FAMILY = re.compile(r"^\s*(?://|/\*|\*)|[;{]\s*$", re.MULTILINE)


def uses_slash_comments(source: str) -> bool:
    """Whether `source` looks like a language with `//` comments (C and its like)."""
    return _SLASH_FAMILY.search(source) is not None


@dataclass(frozen=True)
class LineMarks:
    """What one line did: `stray` is the place of the first closer of a bracket never opened."""

    stray: int | None
    closed_outer: bool


class BracketScanner:
    """Holds the brackets still open, innermost last, and the string or comment still open.

    Brackets of lines fed with ``outer=True`` (before the block) are told from the others.
    """

    def __init__(self, slash_comments: bool) -> None:
        self._marks = _SLASH_MARKS if slash_comments else _HASH_MARKS
        self._open: list[tuple[str, bool]] = []
        self._inside: str | None = None

    @property
    def in_multiline_text(self) -> bool:
        """Whether the next line begins inside a string or comment."""
        return self._inside is not None

    @property
    def n_inner(self) -> int:
        """Open brackets that were not opened by outer lines."""
        return sum(not outer for _, outer in self._open)

    def feed(self, line: str, outer: bool = False) -> LineMarks:
        """Scans one line, or the rest of one; a stray closer ends the scan of the line."""
        place, closed_outer = 0, False
        while (found := self._next_mark(line, place)) is not None:
            mark, start, place = found
            if mark in OPENERS:
                self._open.append((mark, outer))
            elif mark in CLOSERS:
                was_outer = self._close(mark)
                if was_outer is None:
                    return LineMarks(start, closed_outer)
                closed_outer |= was_outer
        return LineMarks(None, closed_outer)

    def _next_mark(self, line: str, place: int) -> tuple[str, int, int] | None:
        """The next bracket at or after `place`, with its start and end; opens and closes long texts."""
        while True:
            if self._inside is not None:
                end = line.find(self._inside, place)
                if end < 0:
                    return None
                place = end + len(self._inside)
                self._inside = None
            match = self._marks.search(line, place)
            if match is None:
                return None
            mark, place = match.group(), match.end()
            if mark in _MULTILINE_END:
                self._inside = _MULTILINE_END[mark]
            elif len(mark) == 1 and mark in OPENERS + CLOSERS:
                return mark, match.start(), place

    def _close(self, closer: str) -> bool | None:
        """Whether the bracket closed was an outer one; None if there was none to close.

        Openers of other kinds above it are dropped: half-typed code has them.
        """
        for height in range(len(self._open) - 1, -1, -1):
            opener, outer = self._open[height]
            if opener == _PARTNER[closer]:
                del self._open[height:]
                return outer
        return None

"""One file of ignore patterns, compiled: git's own reading of .gitignore lines.

Owns the pattern language: comments, negation, folders only, anchors, ``**``, brackets,
escapes. Which files of patterns hold for a path, and which wins, is `indexer.ignoring`.

Why not pathspec's matcher: it also matches what lies below a matched folder, so with
``*.log`` followed by ``!keep`` it takes ``keep/a.log`` back, which git does not. Here a
pattern matches the path it names and nothing else; the caller walks down the folders.

Hostile patterns stay cheap: a star is matched up to the first place where the text
after it fits and never revised (atomic groups), which is enough because another star
follows. One difference to git remains: git counts bytes, ``?`` here is one character.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

# git's core.ignorecase is on where file names know no case.
IGNORE_CASE = os.name == "nt" or sys.platform == "darwin"

_NEVER = "(?!)"
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-\\x2f:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "a-fA-F0-9",
}


@dataclass(frozen=True)
class _Pattern:
    """One line: `regex` is for the base name if `by_name`, else for the path below the file's folder."""

    regex: str
    negated: bool
    folders_only: bool
    by_name: bool


@dataclass(frozen=True)
class _Run:
    """Neighbouring patterns of one sign; within a run order does not matter, so one regex serves."""

    ignored: bool
    name: re.Pattern[str] | None
    path: re.Pattern[str] | None
    folder_name: re.Pattern[str] | None
    folder_path: re.Pattern[str] | None

    def matches(self, path: str, name: str, is_directory: bool) -> bool:
        by_name = self.folder_name if is_directory else self.name
        by_path = self.folder_path if is_directory else self.path
        return bool((by_name and by_name.fullmatch(name)) or (by_path and by_path.fullmatch(path)))


class IgnoreFile:
    """The patterns of one file; immutable, so any thread may ask."""

    def __init__(self, lines: Iterable[str]) -> None:
        patterns = [pattern for pattern in map(_parse, lines) if pattern is not None]
        self._runs = tuple(_runs(patterns))[::-1]

    def __bool__(self) -> bool:
        return bool(self._runs)

    def match(self, path: str, is_directory: bool) -> bool | None:
        """True = ignored, False = taken back by ``!``, None = no pattern names it.

        `path` is relative to the folder of the file, with forward slashes; folders
        above it are not looked at.
        """
        name = path.rpartition("/")[2]
        for run in self._runs:
            if run.matches(path, name, is_directory):
                return run.ignored
        return None


@lru_cache(maxsize=512)
def ignore_file(text: str) -> IgnoreFile:
    """The compiled patterns of a file's `text`; lines end at ``\\n`` or ``\\r\\n`` as git has it."""
    lines = text.removeprefix("\ufeff").split("\n")
    return IgnoreFile(line.removesuffix("\r") for line in lines)


def _parse(line: str) -> _Pattern | None:
    line = _without_trailing_spaces(line)
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line[negated:]
    folders_only = line.endswith("/")
    line = line[: len(line) - folders_only]
    by_name = "/" not in line
    line = line.removeprefix("/")
    if not line:
        return None
    regex = _segment(line) if by_name else _whole_path(line)
    return _Pattern(regex, negated, folders_only, by_name)


def _without_trailing_spaces(line: str) -> str:
    stripped = line.rstrip(" ")
    n_backslashes = len(stripped) - len(stripped.rstrip("\\"))
    if len(stripped) < len(line) and n_backslashes % 2:
        return stripped + " "
    return stripped


def _runs(patterns: list[_Pattern]) -> Iterator[_Run]:
    start = 0
    for end in range(1, len(patterns) + 1):
        if end == len(patterns) or patterns[end].negated != patterns[start].negated:
            run = patterns[start:end]
            yield _Run(
                not run[0].negated,
                _union(p for p in run if p.by_name and not p.folders_only),
                _union(p for p in run if not p.by_name and not p.folders_only),
                _union(p for p in run if p.by_name),
                _union(p for p in run if not p.by_name),
            )
            start = end


def _union(patterns: Iterable[_Pattern]) -> re.Pattern[str] | None:
    regexes = [pattern.regex for pattern in patterns]
    if not regexes:
        return None
    return re.compile("|".join(f"(?:{regex})" for regex in regexes), re.S | (re.I if IGNORE_CASE else 0))


def _whole_path(pattern: str) -> str:
    """Segments between slashes; runs of segments between ``**`` are matched atomically."""
    groups: list[list[str]] = [[]]
    for segment in pattern.split("/"):
        if segment != "**":
            groups[-1].append(_segment(segment))
        elif groups[-1] or len(groups) == 1:
            groups.append([])
    first, last = "/".join(groups[0]), "/".join(groups[-1])
    if len(groups) == 1:
        return first
    middle = "".join(f"(?>(?:[^/]+/)*?{'/'.join(group)}/)" for group in groups[1:-1])
    tail = f"(?:[^/]+/)*{last}" if last else ".+"
    return f"{first}{'/' if first else ''}{middle}{tail}"


def _segment(pattern: str) -> str:
    """One part of a path: stars, question marks, brackets and escapes, none of which crosses a slash."""
    pieces: list[list[str]] = [[]]
    i = 0
    while i < len(pattern):
        letter = pattern[i]
        i += 1
        if letter == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append([])
        elif letter == "?":
            pieces[-1].append("[^/]")
        elif letter == "[":
            bracket, i = _bracket(pattern, i)
            pieces[-1].append(bracket)
        elif letter == "\\":
            pieces[-1].append(re.escape(pattern[i]) if i < len(pattern) else _NEVER)
            i += 1
        else:
            pieces[-1].append(re.escape(letter))
    first, *rest = ("".join(piece) for piece in pieces)
    if not rest:
        return first
    return first + "".join(f"(?>[^/]*?{piece})" for piece in rest[:-1]) + f"[^/]*{rest[-1]}"


def _bracket(pattern: str, i: int) -> tuple[str, int]:
    """A bracket expression whose ``[`` stands before `i`; one never closed matches nothing."""
    negated = pattern[i : i + 1] in ("!", "^")
    i += negated
    start, members = i, ""
    while i < len(pattern) and (pattern[i] != "]" or i == start):
        named = re.match(r"\[:([a-z]*):\]", pattern[i:])
        if named:
            if named[1] not in _CLASSES:
                return _NEVER, len(pattern)
            members += _CLASSES[named[1]]
            i += named.end()
            continue
        low, i = _member(pattern, i)
        if pattern[i : i + 1] == "-" and pattern[i + 1 : i + 2] not in ("]", ""):
            high, i = _member(pattern, i + 1)
            members += f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
        else:
            members += re.escape(low)
    if i >= len(pattern):
        return _NEVER, i
    if not members:
        return ("[^/]" if negated else _NEVER), i + 1
    return (f"[^/{members}]" if negated else f"(?!/)[{members}]"), i + 1


def _member(pattern: str, i: int) -> tuple[str, int]:
    if pattern[i] == "\\" and i + 1 < len(pattern):
        return pattern[i + 1], i + 2
    return pattern[i], i + 1

"""Small pure questions about lines of text, shared by the request and the post-processing.

Lines are separated by ``\\n`` alone here; `unix_lines` brings a document's text into that form.
"""

from __future__ import annotations

import re

TAB_WIDTH = 4

_MARK_OPENERS = ("{", "=>")
_COLON_LANGUAGES = frozenset({"python", "gdscript", "nim"})
_STRING = re.compile(r"""(['"])(?:\\.|(?!\1)[^\\])*\1""")
_NO_HEADER = re.compile(r"""^\s*:$|['"#]|\blambda\b[^:]*:$""")
"""Of a line without its strings: a key alone, an open string or a comment, a lambda."""
_WORD_OPENERS = {
    "ruby": re.compile(
        r"(?:\b(?:do|then|else|begin|ensure)|\bdo\s*\|[^|]*\||^\s*(?:def|class|module|if|unless|while)\b.*)$"
    ),
    "lua": re.compile(r"(?:\b(?:do|then|else|repeat)|\bfunction\b[^()]*\([^()]*\))$"),
    "shell": re.compile(r"\b(?:do|then|else)$"),
}


def unix_lines(text: str) -> str:
    r"""`text` with every ``\r\n`` and ``\r`` replaced by ``\n``."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def last_line(text: str) -> str:
    """What stands after the last line end."""
    return text[text.rfind("\n") + 1 :]


def first_line(text: str) -> str:
    """What stands before the first line end."""
    return text.partition("\n")[0]


def indent_of(line: str) -> str:
    """The leading blanks and tabs."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def indent_width(line: str) -> int:
    """Columns of the leading blanks; a tab reaches the next multiple of `TAB_WIDTH`."""
    return len(indent_of(line).expandtabs(TAB_WIDTH))


def has_word(text: str) -> bool:
    """Whether a letter, digit or underscore is in `text`."""
    return any(character.isalnum() or character == "_" for character in text)


def opens_block(line: str, language: str | None) -> bool:
    """Whether a block begins after `line`, as far as its end tells."""
    line = line.rstrip()
    if line.endswith(_MARK_OPENERS):
        return True
    if line.endswith(":"):
        return language in _COLON_LANGUAGES and _ends_a_header(line)
    opener = _WORD_OPENERS.get(language or "")
    return opener is not None and opener.search(line) is not None


def n_open_brackets(line: str) -> int:
    """How many brackets that `line` opens it does not close, outside strings."""
    depth = 0
    for character in _STRING.sub("", line):
        depth = max(0, depth + (character in "([{") - (character in ")]}"))
    return depth


def _ends_a_header(line: str) -> bool:
    """Whether the colon at the end of `line` stands outside brackets, strings and comments."""
    return n_open_brackets(line) == 0 and _NO_HEADER.search(_STRING.sub("", line)) is None

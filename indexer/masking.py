"""Secrets in text: found by what they look like, and covered so that every offset and line stays.

Owns the search and the cover. Files whose *name* says secret are never read at all (`indexer.ignoring`).
Text goes through `masked` before it is cut, stored, embedded, remembered or told to a model; so what is
below never sees a secret, and digests are of the covered text. A cover is as long as what it covers.

Searching is cheap where nothing is: patterns are tried only where a plain search found the letters of an
issuer, a word that secrets are named by, a URL, or a long string in quotes.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from indexer.secret_formats import (
    ABOUT,
    ASSIGNED,
    BARE,
    DIGEST_BEFORE,
    HEADER,
    KNOWN,
    NAME_AFTER,
    NAME_BACKWARDS,
    NAME_WORDS,
    PART,
    PASSWORD_NAME,
    PEM_BEGIN,
    PEM_END,
    PEM_LINE,
    PEM_MOST_CHARS,
    PLAIN,
    QUOTED,
    STAND_IN,
    TELEGRAM,
    URL_PASSWORD,
)

MASKING_VERSION = 1
"""Part of the index's identity: texts covered by other rules are read again."""

COVER = "*"
Span = tuple[int, int]

_LONGEST_NAME = 60
_LONGEST_PEM_LINE = 200
_REACH = 1_200
"""No pattern looks further than this: a file made to be slow costs a search so long at each of its places."""
_REST = re.compile(r"[\w.+/=-]*")
_LONGEST_BARE = 1_000
"""Characters of a line that may be an assignment without quotes."""

_HEX = re.compile(r"[0-9a-fA-F-]+")
_WORDS = re.compile(r"[A-Za-z_.\-/]+")
_SMALL, _CAPITAL, _DIGIT = re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]")
_WORD = re.compile(r"[A-Z]?[a-z]{4,}")
_KIND_CHANGES = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[a-z0-9])|(?<=[0-9])(?=[A-Za-z])")


def masked(text: str) -> str:
    """`text` with each secret under a cover of its own length; equal to `text` where there is none."""
    return covered(text, secret_spans(text))


def covered(text: str, spans: list[Span]) -> str:
    """`text` with the characters of `spans`, line ends apart, under covers."""
    if not spans:
        return text
    parts, place = list[str](), 0
    for start, end in spans:
        parts.append(text[place:start])
        parts.append(re.sub(r"[^\r\n]", COVER, text[start:end]))
        place = end
    return "".join((*parts, text[place:]))


def secret_spans(text: str) -> list[Span]:
    """Where `text` holds secrets: ``[start, end)``, in order, none touching the next."""
    found = [*_private_keys(text), *_of_known_format(text), *_random_strings(text)]
    lowered = _lowered(text)
    for word in NAME_WORDS:
        for place in _places(lowered, word):
            found.extend(_named(text, place))
    for place in _places(lowered, "://"):
        found.extend(_judged(URL_PASSWORD.match(text, place, place + _REACH), _is_password))
    for word in ("bearer", "basic"):
        for place in _places(lowered, word):
            found.extend(_judged(HEADER.match(text, place, place + _REACH), _is_token))
    return _merged(found)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _lowered(text: str) -> str:
    """In small letters, and as long as `text`: a few capitals have longer small forms."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if c < "\x80" else c for c in text)


def _places(text: str, word: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + len(word))


def _judged(match: re.Match[str] | None, judge: Callable[[str], bool]) -> Iterator[Span]:
    if match is not None and judge(match["value"]):
        yield match.span("value")


def _of_known_format(text: str) -> Iterator[Span]:
    for letters, pattern in KNOWN.items():
        done = 0
        for place in _places(text, letters):
            match = pattern.match(text, place, place + _REACH) if place >= done else None
            if match is not None and not STAND_IN.search(match.group()):
                rest = _REST.match(text, match.end()) if match.end() == place + _REACH else None
                done = rest.end() if rest else match.end()
                yield place, done
    if ":AA" in text:
        yield from (match.span() for match in TELEGRAM.finditer(text))


def _random_strings(text: str) -> Iterator[Span]:
    for match in QUOTED.finditer(text):
        if _is_random(match[1]) and not DIGEST_BEFORE.search(
            text, max(0, match.start() - 24), match.start(1)
        ):
            yield match.span(1)


def _named(text: str, place: int) -> Iterator[Span]:
    """The value given to the name that has a telling word at `place`."""
    before = NAME_BACKWARDS.match(text[max(0, place - _LONGEST_NAME) : place][::-1])
    start = place - (before.end() if before else 0)
    after = NAME_AFTER.match(text, place)
    name = text[start : after.end() if after else place]
    if ABOUT.search(name):
        return
    judge = _is_password if PASSWORD_NAME.search(name) else _is_token
    yield from _judged(ASSIGNED.match(text, place, place + _REACH), judge)
    yield from _judged(PART.match(text, start, place + _REACH), judge)
    start, end = (
        text.rfind("\n", max(0, place - _LONGEST_BARE), place) + 1,
        text.find("\n", place, place + _LONGEST_BARE),
    )
    end = len(text) if end < 0 else end
    if end - start < _LONGEST_BARE:
        bare = BARE.fullmatch(text, start, end)
        if bare is not None and bare.start("name") <= place < bare.end("name"):
            yield from _judged(bare, lambda value: _is_bare_secret(name, value))


def _is_bare_secret(name: str, value: str) -> bool:
    """Without quotes a value may as well be a name or a call, so it must be more mixed than those are."""
    if _is_stand_in(value) or "." in value or "::" in value:
        return False
    return _is_token(value) or bool(PASSWORD_NAME.search(name) and _has_digit_and_letter(value))


def _is_password(value: str) -> bool:
    """Anything but a stand-in, a plain word of forms and schemas, or a name of something."""
    if _is_stand_in(value) or re.search(r"\s", value):
        return False
    if _WORDS.fullmatch(value):
        return len(value) >= 8 and value.isalpha() and not PLAIN.search(value)
    return value.lower() not in ("passw0rd", "p@ssword", "p@ssw0rd") and not value.startswith(
        ("/", "./", "../", "#", "http")
    )


def _is_token(value: str) -> bool:
    """A value under a secret's name: long, letters and digits mixed as no name or sentence has them."""
    if len(value) < 12 or not _has_digit_and_letter(value) or _is_stand_in(value) or re.search(r"\s", value):
        return False
    if _HEX.fullmatch(value):
        return len(value) >= 16
    return _entropy(value) >= 3.0 and _changes(value) >= 0.15 and _share_of_words(value) < 0.5


def _is_random(value: str) -> bool:
    """A quoted string under no telling name: only what was drawn at random is as mixed as this."""
    if _HEX.fullmatch(value) or not (
        _SMALL.search(value) and _CAPITAL.search(value) and _DIGIT.search(value)
    ):
        return False
    if _changes(value) < 0.3 or _share_of_words(value) >= 0.4 or value.count(".") > 2 or value.count("/") > 4:
        return False
    return _entropy(value) >= 3.9 and not STAND_IN.search(value) and not _counts_up(value)


def _is_stand_in(value: str) -> bool:
    return len(set(value)) <= 2 or bool(STAND_IN.search(value)) or _counts_up(value)


def _counts_up(value: str) -> bool:
    """An alphabet or digits in order, as tables of characters and examples have them."""
    steps = sum(ord(b) - ord(a) == 1 for a, b in pairwise(value))
    return steps > 0.5 * (len(value) - 1)


def _has_digit_and_letter(value: str) -> bool:
    return any(letter.isdigit() for letter in value) and any(letter.isalpha() for letter in value)


def _changes(value: str) -> float:
    """How often a letter's kind (small, capital, digit) changes, as a share of the places where it could."""
    return len(_KIND_CHANGES.findall(value)) / max(1, len(value) - 1)


def _share_of_words(value: str) -> float:
    """How much of it runs in small letters, as words do."""
    return sum(map(len, _WORD.findall(value))) / len(value)


def _entropy(value: str) -> float:
    """Bits a character, by the value's own letters."""
    n = len(value)
    return -sum(count / n * math.log2(count / n) for count in Counter(value).values())


def _private_keys(text: str) -> Iterator[Span]:
    """Bodies of private keys, also of those whose other end is not there (yet, or in this window)."""
    if "PRIVATE KEY" not in text:
        return
    done, ends = 0, [end.start() for end in PEM_END.finditer(text)]
    for begin in PEM_BEGIN.finditer(text):
        if begin.start() < done:
            continue
        number = bisect_left(ends, begin.end())
        is_whole = number < len(ends) and ends[number] - begin.end() <= PEM_MOST_CHARS
        done = ends[number] if is_whole else _body_end(text, begin.end())
        yield begin.end(), done
    for end in ends:
        start = _body_start(text, end)
        if start < end:
            yield start, end


def _is_of_key(text: str, start: int, end: int) -> bool:
    return end - start <= _LONGEST_PEM_LINE and PEM_LINE.fullmatch(text, start, end) is not None


def _body_end(text: str, place: int) -> int:
    """The end of the lines after `place` that can belong to a key."""
    first = text.find("\n", place)
    if first < 0 or first - place > 3:
        return min(len(text) if first < 0 else first, place + PEM_MOST_CHARS)
    while place < len(text):
        line_end = text.find("\n", place + 1)
        line_end = len(text) if line_end < 0 else line_end
        if not _is_of_key(text, place + 1, line_end):
            break
        place = line_end
    return place


def _body_start(text: str, place: int) -> int:
    """The beginning of the lines before `place` that can belong to a key."""
    start = text.rfind("\n", 0, place) + 1
    if not _is_of_key(text, start, place):
        return place
    while start > 0:
        above = text.rfind("\n", 0, start - 1) + 1
        if not _is_of_key(text, above, start - 1):
            break
        start = above
    return start

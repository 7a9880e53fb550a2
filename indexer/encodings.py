"""Bytes of a file to text, or the word that they are none.

Owns the guess of the encoding and what counts as binary. Sizes, ignore rules and reading
are `indexer.source_files`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

# As git and grep do: a NUL in the first block means binary.
_FIRST_BLOCK = 8192
# Text holds tabs, line ends, form feeds, escapes; more than this share of others is no text.
_MOST_CONTROLS = 0.03
_MARKS = (
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_LE,
    codecs.BOM_UTF32_BE,
)
_CONTROLS = bytes(set(range(32)) - {8, 9, 10, 11, 12, 13, 27} | {127})
# PEP 263: a declared encoding stands in one of the first two lines of a Python file.
_DECLARED = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)")
# Damage (a cut file, one bad byte) leaves most multi-byte characters whole; another encoding does not.
_MOST_DAMAGE = 0.02


def decode(data: bytes, language: str | None) -> str | None:
    """The text of `data`, never holding lone surrogates, or None if it is binary.

    In order: byte order marks; strict UTF-8; the encoding a Python file declares; UTF-8
    with U+FFFD for single bad bytes; cp1252, of which latin-1 is the remainder.
    """
    if data.startswith(_MARKS):
        return _decode_marked(data)
    if _is_binary(data):
        return None
    for encoding in _strict_encodings(data, language):
        try:
            return data.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    damaged = data.decode("utf-8", "replace")
    n_foreign = sum(byte >= 0x80 for byte in data)
    if damaged.count("\ufffd") <= max(1, _MOST_DAMAGE * len(data)) and _mostly_utf8(damaged, n_foreign):
        return damaged
    # The five bytes that cp1252 leaves undefined are controls in latin-1.
    return "".join(_decode_western(data))


def _decode_marked(data: bytes) -> str | None:
    """Some binary formats begin like UTF-16 or UTF-32: a NUL or an impossible character betrays them."""
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :].decode("utf-8", "replace")
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        try:
            return data.decode("utf-32")
        except UnicodeError:
            return None
    text = data.decode("utf-16", "replace")
    return None if "\0" in text[:_FIRST_BLOCK] else text


def _is_binary(data: bytes) -> bool:
    head = data[:_FIRST_BLOCK]
    if b"\0" in head:
        return True
    return len(head) - len(head.translate(None, _CONTROLS)) > _MOST_CONTROLS * len(head)


def _strict_encodings(data: bytes, language: str | None) -> Iterator[str]:
    yield "utf-8"
    if language == "python":
        for line in data.split(b"\n", 2)[:2]:
            match = _DECLARED.match(line)
            # A codec such as rot13 or zlib is no text encoding.
            if match and _is_text_codec(match[1].decode("ascii")):
                yield match[1].decode("ascii")
                return


def _is_text_codec(name: str) -> bool:
    try:
        return bool(getattr(codecs.lookup(name), "_is_text_encoding", True)) and "escape" not in name.lower()
    except LookupError:
        return False


def _mostly_utf8(damaged: str, n_foreign: int) -> bool:
    """Whether most of the bytes above ASCII formed whole characters."""
    return damaged.count("\ufffd") * 2 < n_foreign


def _decode_western(data: bytes) -> Iterator[str]:
    for piece in re.split(rb"([\x81\x8d\x8f\x90\x9d])", data):
        yield piece.decode("latin-1" if len(piece) == 1 and piece in b"\x81\x8d\x8f\x90\x9d" else "cp1252")

"""Characters of a line in the units a client counts: UTF-8 bytes, UTF-16 units or code points.

Pure functions on one line without its ending. Whole documents are `hef_lsp.documents`.
"""

from __future__ import annotations

from enum import StrEnum


class PositionEncoding(StrEnum):
    """The unit of `character` in a position, by the protocol's names."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


def units_to_index(line: str, units: int, encoding: PositionEncoding) -> int:
    """The index in `line` at `units`: past the end is the end, inside a character rounds down."""
    if encoding is PositionEncoding.UTF32 or line.isascii():
        return min(units, len(line))
    if encoding is PositionEncoding.UTF8:
        data = line.encode("utf-8", "surrogatepass")
        cut = min(units, len(data))
        while cut < len(data) and data[cut] & 0xC0 == 0x80:
            cut -= 1
        return len(data[:cut].decode("utf-8", "surrogatepass"))
    data = line.encode("utf-16-le", "surrogatepass")
    cut = min(2 * units, len(data))
    if 0 < cut < len(data) and _is_high(data[cut - 1]) and _is_low(data[cut + 1]):
        cut -= 2
    return len(data[:cut].decode("utf-16-le", "surrogatepass"))


def index_to_units(line: str, index: int, encoding: PositionEncoding) -> int:
    """How many units the first `index` characters of `line` take."""
    head = line[:index]
    if encoding is PositionEncoding.UTF32 or head.isascii():
        return len(head)
    if encoding is PositionEncoding.UTF8:
        return len(head.encode("utf-8", "surrogatepass"))
    return len(head.encode("utf-16-le", "surrogatepass")) // 2


def _is_high(upper_byte: int) -> bool:
    return 0xD8 <= upper_byte <= 0xDB


def _is_low(upper_byte: int) -> bool:
    return 0xDC <= upper_byte <= 0xDF

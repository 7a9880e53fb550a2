r"""Where the lines of a text begin, kept up to date by edits at the cost of the edit.

Owns line starts only: lines end at ``\r\n``, ``\n`` and ``\r`` and nowhere else, as the protocol says
(form feed, U+0085 and U+2028 are characters like any other). Units of characters are
`hef_lsp.position_units`; documents are `hef_lsp.documents`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.protocols import IntArray

_LF, _CR = 10, 13


@dataclass(frozen=True, eq=False)
class LineTable:
    """`starts[i]` is the offset at which line i begins; `starts[0]` is 0. Never changed in place."""

    starts: IntArray

    @staticmethod
    def of(text: str) -> LineTable:
        """The table of a whole text, by one vectorised scan."""
        return LineTable(np.concatenate((np.zeros(1, dtype=np.int64), _ends_of_lines(text))))

    def __len__(self) -> int:
        return len(self.starts)

    def line_at(self, offset: int) -> int:
        """The line that holds `offset`; an offset inside a ``\r\n`` belongs to the line it ends."""
        return int(self.starts.searchsorted(offset, side="right")) - 1

    def start(self, line: int) -> int:
        return int(self.starts[line])

    def edited(self, new_text: str, start: int, end: int, n_inserted: int) -> LineTable:
        r"""The table of `new_text`, in which ``[start, end)`` of the old text became `n_inserted` characters.

        Whether a line begins at p depends on the characters at p - 1 and p alone (``\r\n`` is one
        ending). Both are old and unmoved for p < start, and old and moved for p > end, so only
        the places from start to start + n_inserted are looked at.
        """
        n_before = max(1, int(self.starts.searchsorted(start, side="left")))
        first_after = int(self.starts.searchsorted(end, side="right"))
        new_end = start + n_inserted
        window_start = max(0, start - 1)
        found = _ends_of_lines(new_text[window_start : new_end + 1]) + window_start
        # The window's last character is there to be looked at: a line beginning after it is not new.
        found = found[(found >= max(1, start)) & (found <= new_end)]
        moved = self.starts[first_after:] + (n_inserted - (end - start))
        return LineTable(np.concatenate((self.starts[:n_before], found, moved)))


def _ends_of_lines(text: str) -> IntArray:
    """The offsets just past each line ending of `text`."""
    codes: np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]
    if text.isascii():
        codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    else:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    ends = codes == _LF
    returns = codes == _CR
    if returns.any():
        returns[:-1] &= ~ends[1:]
        ends = ends | returns
    return np.flatnonzero(ends).astype(np.int64, copy=False) + 1

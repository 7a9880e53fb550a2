"""The exact memory of an index: which files' tokens still have to be read, and the reading.

Owns the backlog and a file's text as it is put together from its chunks; the structure itself is
`indexer.suffix_index`. It holds nothing that the store does not: a restart reads it again in the
background, and completions go on meanwhile with what is there. Called by the index writer only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from indexer.chunk import Chunk
from indexer.suffix_index import SuffixIndex, SuffixSnapshot
from indexer.view import IndexView
from model.protocols import CancelSignal, IntArray

EncodeBatch = Callable[[Sequence[str]], list[list[int]]]
FILES_A_BATCH = 64
BYTES_A_TOKEN = 8
"""What a token takes at most, in a vocabulary of over 65,534."""


class TokenMemory:
    """Invariant: each file of the index is in the memory with its latest tokens, or waits."""

    def __init__(self, encode: EncodeBatch, max_bytes: int) -> None:
        self._encode = encode
        self._index = SuffixIndex(max_bytes // BYTES_A_TOKEN)
        self._waiting: dict[str, None] = {}

    def __len__(self) -> int:
        """Files that wait."""
        return len(self._waiting)

    @property
    def snapshot(self) -> SuffixSnapshot:
        """What has been read."""
        return self._index.snapshot()

    @property
    def n_left_out(self) -> int:
        """Files that did not fit into the memory allowed."""
        return self._index.n_left_out

    def follow(self, paths: Iterable[str]) -> None:
        """These files came, changed or went."""
        self._waiting.update(dict.fromkeys(paths))

    def work(self, view: IndexView, first: Sequence[str], cancel: CancelSignal) -> bool:
        """Reads what waits, `first` before the rest, until `cancel`; whether anything changed."""
        ordered = [path for path in first if path in self._waiting]
        ordered += [path for path in self._waiting if path not in set(ordered)]
        changed = False
        for start in range(0, len(ordered), FILES_A_BATCH):
            if cancel.cancelled:
                break
            self._read(view, ordered[start : start + FILES_A_BATCH])
            changed = True
        return changed

    def _read(self, view: IndexView, paths: Sequence[str]) -> None:
        texts = {path: text_of(view.file_chunks(path)) for path in paths if path in view.files}
        encoded = dict(zip(texts, self._encode(list(texts.values())), strict=True))
        changes: dict[str, IntArray | None] = {
            path: np.array(encoded[path], dtype=np.int64) if path in encoded else None for path in paths
        }
        self._index.update(changes)
        for path in paths:
            del self._waiting[path]


def text_of(chunks: Sequence[Chunk]) -> str:
    """A file's text, but for what chunks leave out: blanks in blank lines, very long lines."""
    parts, line = list[str](), 0
    for chunk in chunks:
        parts.append("\n" * (chunk.start_line - line) + chunk.text)
        line = chunk.start_line + chunk.text.count("\n")
    return "".join(parts)

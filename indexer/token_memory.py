"""The exact memory of an index: which files' tokens still have to be read, and the reading.

Owns the backlog, a file's text as it is put together from its chunks, and what is saved for the next start
(`indexer.memory_file`). The structure itself is `indexer.suffix_index`. It holds nothing that the store does
not: what was not saved is read again in the background, and completions go on meanwhile with what is there.
Called by the index writer only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from indexer.chunk import Chunk
from indexer.memory_file import SavedMemory, load_memory, save_memory
from indexer.suffix_index import SuffixIndex, SuffixSnapshot
from indexer.view import IndexView
from model.protocols import CancelSignal, IntArray

log = logging.getLogger(__name__)

EncodeBatch = Callable[[Sequence[str]], list[list[int]]]
FILES_A_BATCH = 64
MANY_FILES = 200
"""Once so many were read anew they are saved at once, and else when the index is closed."""
BYTES_A_TOKEN = 8
"""What a token takes at most, in a vocabulary of over 65,534."""


class TokenMemory:
    """Invariant: each file of the index is in the memory with its latest tokens, or waits."""

    def __init__(
        self, encode: EncodeBatch, max_bytes: int, directory: Path, tokenizer_id: str, may_save: bool
    ) -> None:
        """`directory` is the index's own; `tokenizer_id` names what `encode` makes."""
        self._encode = encode
        self._index = SuffixIndex(max_bytes // BYTES_A_TOKEN)
        self._directory, self._tokenizer_id = directory, tokenizer_id
        self._waiting: dict[str, None] = {}
        self._stamps: dict[str, str] = {}
        self._may_save, self._n_unsaved, self._generation = may_save, 0, 0

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

    def open(self, view: IndexView) -> None:
        """Takes over what was saved and still stands; the other files of `view` wait."""
        saved = load_memory(self._directory, self._tokenizer_id)
        if saved is not None and _restored(self._index, saved):
            self._stamps = dict(saved.stamps)
        gone = [path for path in self._stamps if path not in view.files]
        self.follow(gone)
        self.follow(path for path in view.files if self._stamps.get(path) != stamp_of(view, path))

    def save(self) -> None:
        """Keeps what has been read for the next start, unless that is on disk or not ours to write."""
        if self._n_unsaved and self._may_save:
            saved = SavedMemory(self.snapshot, self._stamps, self._tokenizer_id, self._generation)
            save_memory(self._directory, saved)
            self._n_unsaved = 0

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
        if not self._waiting and self._n_unsaved >= MANY_FILES:
            self.save()
        return changed

    def _read(self, view: IndexView, paths: Sequence[str]) -> None:
        texts = {path: text_of(view.file_chunks(path)) for path in paths if path in view.files}
        encoded = dict(zip(texts, self._encode(list(texts.values())), strict=True))
        changes: dict[str, IntArray | None] = {
            path: np.array(encoded[path], dtype=np.int64) if path in encoded else None for path in paths
        }
        self._index.update(changes)
        self._n_unsaved += len(paths)
        self._generation = view.generation
        for path in paths:
            del self._waiting[path]
            self._stamps.pop(path, None)
        self._stamps |= {path: stamp_of(view, path) for path in texts}


def _restored(index: SuffixIndex, saved: SavedMemory) -> bool:
    try:
        index.restore(saved.snapshot)
    except ValueError as error:
        log.info("the exact memory is read again: %s", error)
        return False
    return True


def stamp_of(view: IndexView, path: str) -> str:
    """Names a file's content as `text_of` puts it together: its chunks and where they stand."""
    digests = [view.hierarchy.node(node_id).digest for node_id in view.hierarchy.chunk_ids(path)]
    places = view.files[path].spans[:, :2].tolist()
    return blake2b(repr((digests, places)).encode(), digest_size=12).hexdigest()


def text_of(chunks: Sequence[Chunk]) -> str:
    """A file's text, but for what chunks leave out: blanks in blank lines, very long lines."""
    parts, line = list[str](), 0
    for chunk in chunks:
        parts.append("\n" * (chunk.start_line - line) + chunk.text)
        line = chunk.start_line + chunk.text.count("\n")
    return "".join(parts)

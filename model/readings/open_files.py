"""The open files that a generator read beforehand.

Owns how many of their tokens are kept, over all files, and that none is kept of a file that is closed.
For the inference lane's thread, but for `forget`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from model.protocols import CancelSignal, OpenText
from model.readings.reader import OpenFileReader
from model.readings.reading import Reading, Run

PROMPTS_KEPT = 2
"""The wider window's and the usual one's."""


@dataclass(eq=False)
class _Open:
    text: OpenText | None = None
    cursor: int = 0
    reading: Reading = field(default_factory=Reading)


class OpenFiles:
    """Readings by name; the file that was read last stands last."""

    def __init__(self, reader: OpenFileReader, encode: Callable[[str], list[int]]) -> None:
        self._reader, self._encode = reader, encode
        self._files: dict[str, _Open] = {}
        self._found = lru_cache(maxsize=PROMPTS_KEPT)(self._find)

    def read_on(self, text: OpenText, n_tokens: int, cancel: CancelSignal) -> bool:
        """One piece more of `text`; False where none is left. Raises `Interrupted` once `cancel` is set."""
        self._found.cache_clear()
        file = self._files.pop(text.name, None) or _Open()
        self._files[text.name] = file
        if file.text != text:
            file.cursor = len(self._encode(text.before))
            if file.text is None or file.text.whole != text.whole:
                ids, head = self._encode(text.whole), self._encode(text.head)
                file.reading.follow(ids, len(head) if ids[: len(head)] == head else 0)
            file.text = text
        is_more = self._reader.read_on(file.reading, file.cursor, n_tokens, cancel)
        self._make_room(n_tokens)
        return is_more

    def runs_in(self, name: str, keys: Sequence[int], begin: int, end: int) -> tuple[Run, ...]:
        """See `Reading.runs_in`; none for a file that was not read.

        One prompt is asked about twice, before it is chosen and once it is read.
        """
        return self._found(name, tuple(keys), begin, end)

    def _find(self, name: str, keys: tuple[int, ...], begin: int, end: int) -> tuple[Run, ...]:
        file = self._files.get(name)
        return () if file is None else file.reading.runs_in(keys, begin, end)

    def forget(self, name: str) -> None:
        """Drops what was read of a file. Any thread."""
        self._files.pop(name, None)
        self._found.cache_clear()

    def _make_room(self, n_tokens: int) -> None:
        """Drops the files that were read longest ago while there is more than is to be kept."""
        left = n_tokens
        for place, (name, file) in enumerate(reversed(list(self._files.items()))):
            left -= file.reading.n_read
            if left < 0 and place:
                self._files.pop(name, None)

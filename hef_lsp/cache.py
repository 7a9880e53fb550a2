r"""The suggestion store: answers that were given, served again while they are still true.

An entry belongs to one document, one text before and one text after the cursor, and one fingerprint of
settings and models. It is served again at that very place, and, after the user typed the beginning of
a suggestion, as the rest of it. It is never served for another suffix, nor once a chunk that stood in
its context has changed. All texts here have lines ending in ``\n``.

Any thread may call: the event loop looks up, the inference lane puts; one lock guards the entries, and
nothing that waits is done while holding it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from threading import Lock

from hef_lsp.explanation import Explanation

MOST_ENTRIES = 256
MOST_BYTES = 1 << 20
PREFIX_CHARS = 8192
SUFFIX_CHARS = 8192
_ENTRY_OVERHEAD = 512

ContextSources = frozenset[str]
"""Digests of the nodes that a suggestion stood on; it is stale once one is gone from the index."""


@dataclass(frozen=True)
class Place:
    """Where a suggestion is wanted, and under which settings."""

    uri: str
    prefix: str
    suffix: str
    fingerprint: str

    @cached_property
    def suffix_digest(self) -> bytes:
        return _digest(self.suffix[:SUFFIX_CHARS])

    def prefix_digest(self, length: int) -> bytes:
        """Of the text that ends `length` characters into the document."""
        return _digest(self.prefix[max(0, length - PREFIX_CHARS) : length])


@dataclass(frozen=True)
class Found:
    """A hit: what is left of the texts, and the explanation of how they came about."""

    texts: tuple[str, ...]
    typed_through: bool
    explanation: Explanation


@dataclass(frozen=True)
class _Entry:
    prefix_length: int
    prefix_digest: bytes
    suffix_digest: bytes
    fingerprint: str
    texts: tuple[str, ...]
    n_asked: int
    multiline: bool
    sources: ContextSources
    explanation: Explanation

    @property
    def n_bytes(self) -> int:
        return _ENTRY_OVERHEAD + sum(len(text.encode("utf-8", "surrogatepass")) for text in self.texts)

    def rest_at(self, place: Place) -> tuple[str, ...] | None:
        """The texts without what was typed of them since; None if this is not the entry's place."""
        n_typed = len(place.prefix) - self.prefix_length
        if n_typed < 0 or n_typed > max(map(len, self.texts), default=0):
            return None
        if place.suffix_digest != self.suffix_digest or place.fingerprint != self.fingerprint:
            return None
        typed = place.prefix[self.prefix_length :]
        rest = tuple(text[n_typed:] for text in self.texts if text.startswith(typed) and len(text) > n_typed)
        if (n_typed and not rest) or place.prefix_digest(self.prefix_length) != self.prefix_digest:
            return None
        return rest


class SuggestionStore:
    """Least recently used entries go first, past `max_entries` or `max_bytes` of suggested text."""

    def __init__(self, max_entries: int = MOST_ENTRIES, max_bytes: int = MOST_BYTES) -> None:
        self._lock = Lock()
        self._entries: OrderedDict[tuple[str, int], _Entry] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def n_bytes(self) -> int:
        return self._n_bytes

    def lookup(
        self, place: Place, multiline: bool, n_wanted: int, is_current: Callable[[ContextSources], bool]
    ) -> Found | None:
        """The newest entry that answers here; an entry whose sources are not current is dropped.

        An entry answers if it was asked for at least as many alternatives and, where a block is wanted,
        for a block. An entry without texts answers at its very place: there was nothing to say.
        """
        for key, entry, rest in self._candidates(place, multiline, n_wanted):
            if is_current(entry.sources):
                with self._lock:
                    if key in self._entries:
                        self._entries.move_to_end(key)
                return Found(rest[:n_wanted], len(place.prefix) > entry.prefix_length, entry.explanation)
            self._drop(key)
        return None

    def _candidates(
        self, place: Place, multiline: bool, n_wanted: int
    ) -> list[tuple[tuple[str, int], _Entry, tuple[str, ...]]]:
        with self._lock:
            own = [(key, entry) for key, entry in reversed(self._entries.items()) if key[0] == place.uri]
        able = [
            (key, entry) for key, entry in own if entry.multiline >= multiline and entry.n_asked >= n_wanted
        ]
        return [(key, entry, rest) for key, entry in able if (rest := entry.rest_at(place)) is not None]

    def put(
        self,
        place: Place,
        texts: tuple[str, ...],
        multiline: bool,
        n_asked: int,
        sources: ContextSources,
        explanation: Explanation,
    ) -> None:
        """Keep an answer, best text first; no texts means that there was nothing to say."""
        entry = _Entry(
            prefix_length=len(place.prefix),
            prefix_digest=place.prefix_digest(len(place.prefix)),
            suffix_digest=place.suffix_digest,
            fingerprint=place.fingerprint,
            texts=texts,
            n_asked=n_asked,
            multiline=multiline,
            sources=sources,
            explanation=explanation,
        )
        with self._lock:
            self._entries[(place.uri, self._next_number)] = entry
            self._next_number += 1
            self._n_bytes += entry.n_bytes
            while len(self._entries) > self._max_entries or self._n_bytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._n_bytes -= oldest.n_bytes

    def forget(self, uri: str) -> None:
        """Drop every entry of a closed document."""
        with self._lock:
            keys = [key for key in self._entries if key[0] == uri]
        for key in keys:
            self._drop(key)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._n_bytes = 0

    def _drop(self, key: tuple[str, int]) -> None:
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._n_bytes -= entry.n_bytes


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

"""A map that never changes, and gives another with a few entries changed without copying all of them.

Owns no meaning. Readers hold one while the writer makes the next: a copy of a hundred thousand entries
for each save would hold the interpreter, and a keystroke with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

LEAST_MERGED: Final = 512
MERGED_ONE_IN: Final = 16
"""What changed is kept beside the rest until it is one part in so many of it."""


class LayeredMap(Mapping[K, V]):
    """Immutable; any thread may read it. Entries that never changed come first, in their order."""

    __slots__ = ("_base", "_gone", "_length", "_over")

    def __init__(self, base: Mapping[K, V] | None = None) -> None:
        self._base: dict[K, V] = dict(base or {})
        self._over: dict[K, V] = {}
        self._gone: set[K] = set()
        self._length = len(self._base)

    def changed(self, put: Mapping[K, V], gone: Collection[K] = ()) -> LayeredMap[K, V]:
        """With the entries of `put`, without the keys of `gone`; no key may be in both."""
        after: LayeredMap[K, V] = LayeredMap()
        after._base = base = self._base
        after._over = over = {**self._over, **put}
        for key in gone:
            over.pop(key, None)
        after._gone = (self._gone - put.keys()) | {key for key in gone if key in base}
        n_new = sum(key not in self for key in put)
        after._length = self._length + n_new - sum(key in self for key in set(gone))
        if len(over) + len(after._gone) > max(LEAST_MERGED, len(base) // MERGED_ONE_IN):
            after._merge()
        return after

    def _merge(self) -> None:
        merged = dict(self._base)
        for key in self._gone:
            del merged[key]
        merged.update(self._over)
        self._base, self._over, self._gone = merged, {}, set()

    def __getitem__(self, key: K) -> V:
        if key in self._over:
            return self._over[key]
        if key in self._gone:
            raise KeyError(key)
        return self._base[key]

    def __contains__(self, key: object) -> bool:
        return key in self._over or (key in self._base and key not in self._gone)

    def __iter__(self) -> Iterator[K]:
        hidden = self._over.keys() | self._gone if self._over or self._gone else ()
        yield from (key for key in self._base if key not in hidden)
        yield from self._over

    def __len__(self) -> int:
        return self._length

"""Where tokens in a row stand in others: what both the open files and the last prompt are searched with.

Pure functions of token ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from model.protocols import BoolArray, IntArray

SHORTEST_RUN = 16
"""Tokens in a row that must be the same."""

_FACTORS = np.array(
    [pow(0x9E3779B97F4A7C15, power, 1 << 64) for power in range(1, SHORTEST_RUN + 1)], np.uint64
)


def stretches_in(
    wanted: IntArray, ids: IntArray, usable: BoolArray | None = None, begins: Collection[int] = ()
) -> Iterator[tuple[int, int, int]]:
    """Stretches of `wanted` that stand in `ids`, from left to right: where each begins and ends, and where it
    stands there; of several places the one that goes on longest.

    Only `usable` ones of `ids` count. At `begins` of `wanted` the beginning of `ids` counts however short.
    """
    known, asked = _grams_of(ids), _grams_of(wanted)
    places = np.arange(len(known))
    if usable is not None and len(known):
        is_whole = np.lib.stride_tricks.sliding_window_view(usable, SHORTEST_RUN).all(axis=1)
        known, places = known[is_whole], np.flatnonzero(is_whole)
    done = 0
    for at in sorted({*np.flatnonzero(np.isin(asked, known)).tolist(), *begins}):
        if at < done:
            continue
        firsts = places[known == asked[at]].tolist() if at < len(asked) else []
        if at in begins:
            firsts.append(0)
        lengths = ((_n_same(wanted[at:], ids[first:], usable, first), first) for first in firsts)
        length, first = max(lengths, default=(0, 0))
        if length >= SHORTEST_RUN or (length and first == 0 and at in begins):
            done = at + length
            yield at, done, first


def _grams_of(ids: IntArray) -> NDArray[np.uint64]:
    """A number for each stretch of `SHORTEST_RUN`, the same for the same tokens."""
    if len(ids) < SHORTEST_RUN:
        return np.empty(0, dtype=np.uint64)
    stretches = np.lib.stride_tricks.sliding_window_view(ids.astype(np.uint64), SHORTEST_RUN)
    numbers: NDArray[np.uint64] = (stretches * _FACTORS).sum(axis=1, dtype=np.uint64)
    return numbers


def _n_same(wanted: IntArray, ids: IntArray, usable: BoolArray | None, first: int) -> int:
    """How many of the first tokens are the same, and usable; `ids` begin at `first` of all."""
    n_most = min(len(wanted), len(ids))
    same = wanted[:n_most] == ids[:n_most]
    if usable is not None:
        same &= usable[first : first + n_most]
    return n_most if same.all() else int(same.argmin())

"""What a pass of several rows costs on this machine, and up to how many of them compact weights read fastest.

Owns the measurement, made once at load with the passes themselves. Processors differ by more than the bytes
do: with instructions for matrices another row makes a pass a sixth longer, without them a third or a half.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MOST_ROWS = 8
"""Rows of the longest pass that decoding makes."""
MEASURED = (2, 4, 8)
ROUNDS = 3


@dataclass(frozen=True)
class RowCosts:
    """Up to `n_few` rows of a prompt are read fastest by compact weights.

    `costs` are those of their passes of 1, 2, … `MOST_ROWS` rows, in passes of one row: what drafts cost.
    """

    n_few: int
    costs: tuple[float, ...]


ASSUMED = RowCosts(MOST_ROWS, tuple(1 + n / 6 for n in range(MOST_ROWS)))
"""Until it is measured, and where it is not: a Xeon with instructions for bfloat16 matrices."""

Pass = Callable[[int], object]
"""Reads so many rows."""


def measured(compact: Pass, plain: Pass) -> RowCosts:
    """Makes passes of both kinds."""
    seconds = {n_rows: fastest(compact, n_rows) for n_rows in (1, *MEASURED)}
    won = [n_rows for n_rows in MEASURED if seconds[n_rows] <= fastest(plain, n_rows)]
    rows = np.arange(1, MOST_ROWS + 1)
    rising = np.maximum.accumulate(np.interp(rows, list(seconds), list(seconds.values())))
    return RowCosts(max(won, default=1), tuple((rising / seconds[1]).tolist()))


def fastest(read: Pass, n_rows: int) -> float:
    """Seconds of the fastest of some rounds, after one in which kernels are made and passes recorded."""
    read(n_rows)
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        read(n_rows)
        rounds.append(time.perf_counter() - began)
    return min(rounds)

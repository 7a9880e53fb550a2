"""What a pass of several rows costs on this machine, and up to how many of them compact weights read fastest.

Owns the measurement, made once at load with the passes themselves. Processors differ by more than the bytes
do: with instructions for matrices another row makes a pass a sixth longer, without them a third or a half.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MOST_ROWS = 8
"""Rows of the longest pass that decoding makes."""
MEASURED = (2, 4, 6, 8)
ROUNDS, FEW_ROUNDS = 5, 2
"""Plain passes take four times as long, and what they say is coarse."""


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


def measured(compact: Pass, plain: Pass | None) -> RowCosts:
    """Makes passes of both kinds; without plain ones, all rows of a prompt are read like few."""
    numbers = (1, *MEASURED)
    of_compact = fastest_of([(compact, n_rows) for n_rows in numbers])
    won = list(MEASURED)
    if plain is not None:
        of_plain = fastest_of([(plain, n_rows) for n_rows in MEASURED], FEW_ROUNDS)
        won = [n for n, one, other in zip(MEASURED, of_compact[1:], of_plain, strict=True) if one <= other]
    rows = np.arange(1, MOST_ROWS + 1)
    rising = np.maximum.accumulate(np.interp(rows, numbers, of_compact))
    return RowCosts(max(won, default=1), tuple((rising / of_compact[0]).tolist()))


def fastest_of(passes: Sequence[tuple[Pass, int]], n_rounds: int = ROUNDS) -> list[float]:
    """Seconds of the fastest round of each, after one in which kernels are made and passes recorded.

    They take turns: other work on the machine slows all that is done for a while.
    """
    rounds = [[_seconds(read, n_rows) for read, n_rows in passes] for _ in range(1 + n_rounds)]
    return [min(each) for each in zip(*rounds[1:], strict=True)]


def _seconds(read: Pass, n_rows: int) -> float:
    began = time.perf_counter()
    read(n_rows)
    return time.perf_counter() - began

"""How far two sequences of tokens are the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

PIECE = 256
"""Tokens that are compared at once: a step of Python for each would take milliseconds at a key."""


def n_same_from_start(one: Sequence[int], other: Sequence[int]) -> int:
    """How many numbers both begin with."""
    most = min(len(one), len(other))
    for begin in range(0, most, PIECE):
        end = min(begin + PIECE, most)
        ours, theirs = list(one[begin:end]), list(other[begin:end])
        if ours != theirs:
            return next(place for place in count(begin) if ours[place - begin] != theirs[place - begin])
    return most

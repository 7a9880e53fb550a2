"""How near two places of a workspace are, by the folders that they share."""

from __future__ import annotations

from collections.abc import Sequence


def n_shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders two paths, cut at the slashes, share from the top."""
    return next(
        (number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )

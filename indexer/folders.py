"""How near two places of a workspace are, by the folders that they share."""

from __future__ import annotations

from collections.abc import Sequence


def n_shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders two paths, cut at the slashes, share from the top."""
    return next(
        (number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def folders_of(path: str) -> tuple[str, ...]:
    """Those that a file lies in, from the top."""
    return tuple(path.split("/")[:-1])


def nearness(one: Sequence[str], other: Sequence[str]) -> float:
    """Of files in these folders: 1/2 in the same, the less the more folders lie between."""
    return 1.0 / (2.0 + len(one) + len(other) - 2 * n_shared(one, other))

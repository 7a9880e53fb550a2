"""How near two places of a workspace are, by the folders that they share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile


def n_shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders two paths, cut at the slashes, share from the top."""
    return next(
        (number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


class Nearness(dict[str, float]):
    """Of files to one file, by their paths, worked out when asked: 1/2 in its folder, the less the more
    folders lie between.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._above = [path[: found.end()] for found in re.finditer("/", path)]

    def __missing__(self, path: str) -> float:
        n_common = sum(1 for _ in takewhile(path.startswith, self._above))
        nearness = 1.0 / (2.0 + path.count("/") + len(self._above) - 2 * n_common)
        self[path] = nearness
        return nearness

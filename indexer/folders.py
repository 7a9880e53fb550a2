"""How near two places of a workspace are, by the folders that they share."""

from __future__ import annotations

from collections.abc import Sequence


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
        self._folders = path.split("/")[:-1]

    def __missing__(self, path: str) -> float:
        folders = path.split("/")[:-1]
        n_between = len(folders) + len(self._folders) - 2 * n_shared(folders, self._folders)
        self[path] = 1.0 / (2.0 + n_between)
        return self[path]

"""Numbers filled up to multiples."""

from typing import NamedTuple


def filled_up(number: int, multiple: int) -> int:
    """The least multiple that is not below `number`."""
    return -(-number // multiple) * multiple


class Filling(NamedTuple):
    """Lengths are filled up to a multiple, and to no less than `least`, counted from where they begin."""

    multiple: int = 1
    least: int = 0

    def up(self, end: int, begin: int = 0) -> int:
        """The end of a length from `begin` to `end` that was filled up so."""
        return max(filled_up(end, self.multiple), begin + self.least)


UNFILLED = Filling()

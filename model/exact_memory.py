"""What the generator knows of the workspace's exact memory: matches of its last tokens.

Owns the words between memory and decoding. Finding matches is `indexer.suffix_session`; what they are
worth is `model.interpolation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Candidate:
    """A token that followed the match `count` times.

    `in_file`: also in the open file, before the cursor. `near` is 1 there, else the less the more folders
    lie between. `ahead` begins with the token itself: what followed at its nearest place.
    """

    token_id: int
    count: int
    in_file: bool
    near: float
    ahead: tuple[int, ...] = ()


@dataclass(frozen=True)
class Match:
    """The longest suffix found, `length` tokens, at `support` places; candidates by count, best first."""

    length: int
    support: int
    candidates: tuple[Candidate, ...]


class ExactMemory(Protocol):
    """One request's view of the memory."""

    def match(self, context: Sequence[int], most: int | None = None) -> Match | None:
        """The longest suffix of `context`, of at most `most` tokens; None if not even one token is known."""
        ...

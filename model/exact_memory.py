"""What the generator knows of the workspace's exact memory: matches of its last tokens.

Owns the words between memory and decoding. Finding matches is `indexer.suffix_session`; what they are
worth is `model.gate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Candidate:
    """A token that followed the match `count` times, `n_own` of them in the open file, before the cursor.

    `near` is 1 there, else the less the more folders lie between. `ahead`, of a match's best candidate only,
    begins with the token itself: what followed at its nearest place.
    """

    token_id: int
    count: int
    n_own: int
    near: float
    ahead: tuple[int, ...] = ()


@dataclass(frozen=True)
class Match:
    """A known suffix of `length` tokens, at `support` places; candidates by count, best first."""

    length: int
    support: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Kin:
    """A token that followed where the surroundings are most like the cursor's (`indexer.kinship`).

    `cover`, `aligned` and `deep` are the greatest of its places; `vote` is its share of all places looked at,
    each weighed by its likeness. All 0 to 1. `ahead`, of the likest only, begins with the token: what
    followed at its likest place.
    """

    token_id: int
    cover: float
    aligned: float
    deep: float
    vote: float
    ahead: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrackRecord:
    """How the memory would have done at the last `n_positions` tokens of the open file.

    Of the matches of up to two tokens (`short`), of three and more (`long`), and of eight and more among
    these (`very_long`): how many there were, and how often the best candidate was what stood there.
    """

    n_positions: int = 0
    n_short: int = 0
    hits_short: int = 0
    n_long: int = 0
    hits_long: int = 0
    n_very_long: int = 0
    hits_very_long: int = 0


class ExactMemory(Protocol):
    """One request's view of the memory."""

    @property
    def record(self) -> TrackRecord:
        """How it has done so far in the open file."""
        ...

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        """The longest known suffix of `context`, and after it the longest ones with at least twice the
        support of the one before; none if not even one token is known.
        """
        ...

    def kin(self, context: Sequence[int]) -> tuple[Kin, ...]:
        """What followed the last words where also what stands farther back is alike, the likest first."""
        ...

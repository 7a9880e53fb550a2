"""What the exact memory expects next, and how far ahead that is worth reading.

Owns the guess that drafts are made of (`model.drafting`). A wrong guess costs time and nothing else, so all
that is asked is how often guesses of its kind were right: the logistic curves below follow counts at 13,000
steps of training repositories (docs/log.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from model.exact_memory import Kin, Match


def guess(matches: Sequence[Match], kin: Sequence[Kin], costs: Sequence[float]) -> tuple[int, ...]:
    """The tokens worth reading along; `matches` and `kin` are what is known of the words so far.

    `costs` are those of passes of 1, 2, … rows (`model.runtime.row_costs`).
    """
    if not matches:
        return ()
    match, best = matches[0], matches[0].candidates[0]
    share = best.count / max(1, match.support)
    ahead, likely = best.ahead, _of_match(match, share)
    likest = kin[0] if kin else None
    if likest is not None and likest.token_id == best.token_id:
        ahead, likely = likest.ahead, _of_both(match, share, likest)
    elif likest is not None and _of_kin(match, likest) > likely:
        ahead, likely = likest.ahead, _of_kin(match, likest)
    return ahead[: n_worth_reading(likely, costs)]


def n_worth_reading(likely: float, costs: Sequence[float]) -> int:
    """How many tokens, if each is right with probability `likely` where those before it were.

    So many that a token takes the least time: a pass gives those that were right, and one more.
    """
    given = accumulate(likely**n for n in range(len(costs)))
    worth = [tokens / cost for tokens, cost in zip(given, costs, strict=True)]
    return worth.index(max(worth))


def _of_both(match: Match, share: float, kin: Kin) -> float:
    """The longest match and the likest surroundings name the same token."""
    one = float(share >= 0.99)
    return _logistic(-2.55 + 0.29 * math.log2(match.length) + 0.81 * one + 2.1 * kin.vote + 2.05 * kin.cover)


def _of_match(match: Match, share: float) -> float:
    """The best candidate of a match that no surroundings speak for."""
    return _logistic(-2.96 + 0.04 * math.log2(match.length) + 2.59 * share)


def _of_kin(match: Match, kin: Kin) -> float:
    """The likest surroundings, against the longest match."""
    return _logistic(-2.99 + 0.12 * math.log2(match.length) + 2.79 * kin.vote)


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))

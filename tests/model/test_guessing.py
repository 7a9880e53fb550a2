"""So much is guessed as is likely to be right."""

from __future__ import annotations

import pytest

from model.exact_memory import Candidate, Kin, Match
from model.guessing import guess, n_worth_reading
from model.runtime.row_costs import ASSUMED, MOST_ROWS

AHEAD = tuple(range(7, 19))
OTHER = tuple(range(40, 52))
DEAR, FLAT = tuple(map(float, range(1, 9))), (1.0, 1.5, 1.5, 1.6, 1.7, 1.75, 1.8, 1.9)
"""What another row costs: a pass of its own, or next to nothing once there are two."""


def match(length: int, count: int = 1, support: int = 1) -> Match:
    return Match(length, support, (Candidate(AHEAD[0], count, 0, 0.5, AHEAD),))


def kin(vote: float, cover: float = 0.7, ahead: tuple[int, ...] = AHEAD) -> tuple[Kin, ...]:
    return (Kin(ahead[0], cover, cover, 0.1, vote, ahead),)


def test_nothing_known_nothing_guessed() -> None:
    assert guess((), (), ASSUMED.costs) == ()


@pytest.mark.parametrize(
    ("length", "vote", "expected"), [(16, 1.0, 7), (4, 0.9, 7), (2, 0.5, 3), (1, 0.2, 2)]
)
def test_the_more_speaks_for_it_the_more_is_guessed(length: int, vote: float, expected: int) -> None:
    assert guess([match(length)], kin(vote), ASSUMED.costs) == AHEAD[:expected]


def test_where_they_name_different_tokens_the_likelier_is_read_and_not_far() -> None:
    assert guess([match(4, 1, 4)], kin(0.95, ahead=OTHER), ASSUMED.costs) == OTHER[:2]
    assert guess([match(4)], kin(0.4, ahead=OTHER), ASSUMED.costs) == AHEAD[:1]
    assert guess([match(4, 1, 4)], kin(0.2, ahead=OTHER), ASSUMED.costs) == ()


def test_a_match_in_strange_surroundings_is_not_followed_far() -> None:
    assert guess([match(9)], (), ASSUMED.costs) == AHEAD[:1]


def test_what_lies_ahead_is_all_that_can_be_guessed() -> None:
    assert guess([match(16)], kin(1.0, ahead=AHEAD[:2]), ASSUMED.costs) == AHEAD[:2]


@pytest.mark.parametrize("costs", [ASSUMED.costs, FLAT])
def test_what_is_certain_is_read_to_the_end_of_a_pass_and_what_cannot_be_not_at_all(
    costs: tuple[float, ...],
) -> None:
    assert n_worth_reading(1.0, costs) == MOST_ROWS - 1 and n_worth_reading(0.0, costs) == 0


@pytest.mark.parametrize(
    ("likely", "dear", "usual", "flat"), [(0.3, 0, 1, 0), (0.5, 0, 2, 3), (0.7, 0, 3, 6), (0.95, 0, 7, 7)]
)
def test_so_much_is_read_as_it_costs(likely: float, dear: int, usual: int, flat: int) -> None:
    assert [n_worth_reading(likely, costs) for costs in (DEAR, ASSUMED.costs, FLAT)] == [dear, usual, flat]

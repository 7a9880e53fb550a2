"""So much is guessed as is likely to be right."""

from __future__ import annotations

import pytest

from model.exact_memory import Candidate, Kin, Match
from model.guessing import MOST_GUESSED, guess, n_worth_reading

AHEAD = tuple(range(7, 19))
OTHER = tuple(range(40, 52))


def match(length: int, count: int = 1, support: int = 1) -> Match:
    return Match(length, support, (Candidate(AHEAD[0], count, 0, 0.5, AHEAD),))


def kin(vote: float, cover: float = 0.7, ahead: tuple[int, ...] = AHEAD) -> tuple[Kin, ...]:
    return (Kin(ahead[0], cover, cover, 0.1, vote, ahead),)


def test_nothing_known_nothing_guessed() -> None:
    assert guess((), ()) == ()


@pytest.mark.parametrize(
    ("length", "vote", "expected"), [(16, 1.0, 7), (4, 0.9, 7), (2, 0.5, 3), (1, 0.2, 1)]
)
def test_the_more_speaks_for_it_the_more_is_guessed(length: int, vote: float, expected: int) -> None:
    assert guess([match(length)], kin(vote)) == AHEAD[:expected]


def test_where_they_name_different_tokens_the_likelier_is_read_and_not_far() -> None:
    assert guess([match(4, 1, 4)], kin(0.95, ahead=OTHER)) == OTHER[:1]
    assert guess([match(4)], kin(0.4, ahead=OTHER)) == AHEAD[:1]
    assert guess([match(4, 1, 4)], kin(0.2, ahead=OTHER)) == ()


def test_a_match_in_strange_surroundings_is_not_followed_far() -> None:
    assert guess([match(9)], ()) == AHEAD[:1]


def test_what_lies_ahead_is_all_that_can_be_guessed() -> None:
    assert guess([match(16)], kin(1.0, ahead=AHEAD[:2])) == AHEAD[:2]
    assert n_worth_reading(1.0) == MOST_GUESSED and n_worth_reading(0.0) == 0

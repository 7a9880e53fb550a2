"""Stretches of tokens that stand in others."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.readings.matching import SHORTEST_RUN, stretches_in

TEXT = np.arange(100)


def found(wanted: list[int], **options: object) -> list[tuple[int, int, int]]:
    return list(stretches_in(np.asarray(wanted), TEXT, **options))  # type: ignore[arg-type]


def test_stretches_are_found_from_left_to_right() -> None:
    assert found([*range(50, 80), 7, *range(20)]) == [(0, 30, 50), (31, 51, 0)]
    assert found([7, 7, *range(SHORTEST_RUN)]) == [(2, 2 + SHORTEST_RUN, 0)]
    assert found([*range(SHORTEST_RUN - 1)]) == [] and found([]) == []


def test_the_beginning_counts_where_it_is_looked_for() -> None:
    assert found([0, 1, 2, 99], begins={0}) == [(0, 3, 0)]
    assert found([5, 0, 1, 2], begins={1}) == [(1, 4, 0)]
    assert found([5, 6, 7], begins={0}) == []


def test_only_what_is_usable_is_found() -> None:
    usable = np.zeros(len(TEXT), dtype=np.bool_)
    usable[30:60] = True
    assert found([*range(20, 90)], usable=usable) == [(10, 40, 30)]
    assert found([0, 1], usable=usable, begins={0}) == []


def test_of_several_places_the_longest_is_taken() -> None:
    text = np.asarray([*range(20), 500, *range(30)])
    assert list(stretches_in(np.arange(25), text)) == [(0, 25, 21)]


@given(st.lists(st.integers(0, 2), max_size=120), st.lists(st.integers(0, 2), max_size=120))
def test_what_is_found_stands_there(wanted: list[int], ids: list[int]) -> None:
    end_of_last = 0
    for begin, end, place in stretches_in(np.asarray(wanted, np.int64), np.asarray(ids, np.int64)):
        assert begin >= end_of_last and end - begin >= SHORTEST_RUN
        assert wanted[begin:end] == ids[place : place + end - begin]
        end_of_last = end

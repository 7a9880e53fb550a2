"""How far two sequences of tokens are the same, piece by piece."""

from __future__ import annotations

from itertools import takewhile
from operator import eq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import same_start
from model.same_start import n_same_from_start

NUMBERS = st.lists(st.integers(0, 2), max_size=12)


@given(start=NUMBERS, one=NUMBERS, other=NUMBERS, piece=st.integers(1, 20))
def test_it_is_what_item_after_item_tells(
    start: list[int], one: list[int], other: list[int], piece: int
) -> None:
    ours, theirs = [*start, *one], (*start, *other)
    expected = sum(1 for _ in takewhile(bool, map(eq, ours, theirs)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(same_start, "PIECE", piece)
        assert n_same_from_start(ours, theirs) == n_same_from_start(theirs, ours) == expected

"""It is what a dictionary would be, and what was handed out before stays as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import layered
from indexer.layered import LayeredMap

keys = st.integers(0, 12)
steps = st.lists(st.tuples(st.dictionaries(keys, st.integers()), st.sets(keys)), max_size=8)


@given(steps, st.sampled_from([1, 3, 100]))
def test_it_equals_a_dictionary(history: list[tuple[dict[int, int], set[int]]], least: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layered, "LEAST_MERGED", least)
        found, wanted = LayeredMap[int, int](), dict[int, int]()
        for put, gone in history:
            gone = gone - put.keys()
            before, was = found, dict(wanted)
            found = found.changed(put, gone)
            wanted = {key: value for key, value in (wanted | put).items() if key not in gone}
            assert (dict(found.items()), len(found)) == (wanted, len(wanted))
            assert all((key in found) == (key in wanted) for key in range(13))
            assert dict(before.items()) == was


def test_a_key_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        LayeredMap({1: 2}).changed({}, [1])[1]

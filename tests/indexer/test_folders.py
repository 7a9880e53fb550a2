"""How near files are, by the folders that they share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indexer.folders import Nearness, n_shared

PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join)


def test_the_less_folders_lie_between_the_nearer() -> None:
    nearness = Nearness("pkg/sub/open.py")
    paths = ("pkg/sub/other.py", "pkg/near.py", "top.py", "pkgs/sub/open.py")
    assert [nearness[path] for path in paths] == [1 / 2, 1 / 3, 1 / 4, 1 / 6]
    assert nearness[paths[0]] == 1 / 2  # once more, as it was kept


@given(one=PATHS, other=PATHS)
def test_it_counts_the_folders_up_and_down_again(one: str, other: str) -> None:
    ours, theirs = one.split("/")[:-1], other.split("/")[:-1]
    n_between = len(ours) + len(theirs) - 2 * n_shared(ours, theirs)
    assert Nearness(one)[other] == Nearness(other)[one] == 1 / (2 + n_between)

"""How near files are, by the folders that they share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indexer.folders import folders_of, n_shared, nearness

PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join)


def test_the_less_folders_lie_between_the_nearer() -> None:
    paths = ("pkg/sub/other.py", "pkg/near.py", "top.py", "pkgs/sub/open.py")
    here = folders_of("pkg/sub/open.py")
    assert [nearness(here, folders_of(path)) for path in paths] == [1 / 2, 1 / 3, 1 / 4, 1 / 6]


@given(one=PATHS, other=PATHS)
def test_it_counts_the_folders_up_and_down_again(one: str, other: str) -> None:
    ours, theirs = folders_of(one), folders_of(other)
    n_between = len(ours) + len(theirs) - 2 * n_shared(ours, theirs)
    assert nearness(ours, theirs) == nearness(theirs, ours) == 1 / (2 + n_between)

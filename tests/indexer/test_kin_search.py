"""What is proposed where surroundings are alike but not the same, against a plain comparison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.kinship import WINDOW, Surroundings, windows_before
from indexer.suffix_index import SuffixIndex, SuffixSnapshot
from indexer.suffix_segment import build_segment
from indexer.suffix_session import SuffixSession

RENAMED, LINE_END = 90, 1
FAMILIAR = list(range(10, 40))


def memory_of(**files: list[int]) -> SuffixSnapshot:
    index = SuffixIndex(10**6)
    index.update({name: np.array(ids, dtype=np.int64) for name, ids in files.items()})
    return index.snapshot()


def test_a_renamed_word_does_not_hide_how_the_origin_went_on() -> None:
    origin = [*FAMILIAR, 50, LINE_END, 60, 61]
    others = [token for n in range(20) for token in (200 + n, LINE_END, 70)]
    session = SuffixSession(memory_of(origin=origin, others=others), "mine.py", ())
    context = [*FAMILIAR, RENAMED, LINE_END]
    match, *_ = session.matches(context)
    assert match.candidates[0].token_id == 70  # by count, after one common word
    best, *_ = session.kin(context)
    assert best.token_id == 60 and best.ahead == (60, 61)
    assert best.cover > 0.8 and best.aligned > 0.8 and best.deep == 1 / WINDOW


def test_a_word_that_was_added_does_not_hide_it_either() -> None:
    origin = [*FAMILIAR, 50, LINE_END, 60]
    others = [token for n in range(300) for token in (200 + n, LINE_END, 70)]
    session = SuffixSession(memory_of(origin=origin, others=others), "mine.py", ())
    context = [*FAMILIAR, 50, RENAMED, RENAMED, LINE_END]  # a word after which too much follows
    assert session.kin(context)[0].token_id == 60


def test_of_places_that_match_alike_the_one_farther_back_alike_is_first() -> None:
    same = [5] * 16
    one, other = [*range(100, 120), *same, 60], [*range(130, 150), *same, 61]
    session = SuffixSession(memory_of(one=one, other=other), "mine.py", ())
    assert session.kin([*range(130, 150), *same])[0].token_id == 61
    assert session.kin([*range(100, 120), *same])[0].token_id == 60


def test_the_open_file_in_the_index_and_dead_files_propose_nothing() -> None:
    index = SuffixIndex(10**6)
    index.update({"mine.py": np.array([*FAMILIAR, 60]), "gone.py": np.array([*FAMILIAR, 61])})
    index.update({"gone.py": None})
    assert SuffixSession(index.snapshot(), "mine.py", ()).kin(FAMILIAR) == ()


def test_nothing_is_known_of_nothing() -> None:
    assert SuffixSession(SuffixSnapshot(), "mine.py", ()).kin([1, 2]) == ()
    assert SuffixSession(memory_of(other=[1, 2, 3]), "mine.py", ()).kin([]) == ()
    assert SuffixSession(memory_of(other=[1, 2, 3]), "mine.py", ()).kin([99]) == ()


TOKENS = st.lists(st.integers(0, 4), min_size=1, max_size=90)


@given(stored=TOKENS, context=TOKENS, data=st.data())
def test_likeness_equals_a_plain_comparison(
    stored: list[int], context: list[int], data: st.DataObject
) -> None:
    segment = build_segment([("before.py", np.array([0, 1])), ("here.py", np.array(stored))])
    at = data.draw(st.integers(0, len(stored)))
    window = context[-WINDOW:]
    windows = windows_before(segment, np.array([segment.starts[1] + at]), len(window))
    found = Surroundings(window, [1.0 + token for token in window]).likeness(windows)
    before = stored[:at][-len(window) :][::-1]
    backwards = window[::-1]
    same = [a == b for a, b in zip(before, backwards, strict=False)]
    decay = [1 / (1 + n / 16) for n in range(len(window))]
    wanted = {token: 1.0 + token for token in window}
    assert found.cover[0] == pytest.approx(
        sum(w for token, w in wanted.items() if token in before) / sum(wanted.values()), abs=1e-5
    )
    assert found.aligned[0] == pytest.approx(
        sum(d for d, s in zip(decay, same, strict=False) if s) / sum(decay), abs=1e-5
    )
    assert found.deep[0] == pytest.approx(([*same, False]).index(False) / WINDOW)


@given(files=st.lists(TOKENS, min_size=1, max_size=4), own=TOKENS, context=TOKENS)
def test_each_kin_stands_somewhere_and_the_votes_are_shares(
    files: list[list[int]], own: list[int], context: list[int]
) -> None:
    session = SuffixSession(memory_of(**{f"f{n}": ids for n, ids in enumerate(files)}), "mine.py", own)
    kin = session.kin(context)
    assert sum(one.vote for one in kin) <= 1.0 + 1e-6
    assert len({one.token_id for one in kin}) == len(kin)
    for one in kin[:1]:
        assert one.ahead[0] == one.token_id
        said = one.ahead
        assert any(tuple(ids[n : n + len(said)]) == said for ids in (*files, own) for n in range(len(ids)))

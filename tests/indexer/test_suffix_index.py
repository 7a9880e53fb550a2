"""The exact memory finds what a plain scan finds, after any sequence of updates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import followers, suffix_segment
from indexer.folders import folders_of, nearness
from indexer.suffix_index import LiveSegment, SuffixIndex, SuffixSnapshot
from indexer.suffix_segment import MOST_AHEAD, ORDER, build_segment
from indexer.suffix_session import MOST_MATCHES, SuffixSession
from model.exact_memory import Match

Files = dict[str, list[int]]
PATHS = ("a.py", "b.py", "pkg/c.py", "pkg/sub/d.py")
TOKENS = st.lists(st.integers(0, 3), max_size=30)
EDITS = st.lists(st.dictionaries(st.sampled_from(PATHS), st.none() | TOKENS, min_size=1), max_size=8)


def longest(session: SuffixSession, context: list[int]) -> Match | None:
    return next(iter(session.matches(context)), None)


def near_of(name: str, path: str) -> float:
    return 1.0 if name == path else nearness(folders_of(path), folders_of(name))


def plain_match(files: Files, own: list[int], context: list[int]) -> tuple[int, dict[int, int]] | None:
    """Longest suffix by looking everywhere."""
    for length in range(min(ORDER, len(context)), 0, -1):
        counts: dict[int, int] = {}
        for ids in (own, *files.values()):
            for place in range(length, len(ids)):
                if ids[place - length : place] == context[-length:]:
                    counts[ids[place]] = counts.get(ids[place], 0) + 1
        if counts:
            return length, counts
    return None


def as_counts(match: Match | None) -> tuple[int, dict[int, int]] | None:
    if match is None:
        return None
    assert match.support == sum(candidate.count for candidate in match.candidates)
    return match.length, {candidate.token_id: candidate.count for candidate in match.candidates}


def updated(edits: list[dict[str, list[int] | None]]) -> tuple[SuffixIndex, Files]:
    index, files = SuffixIndex(10**6), Files()
    for edit in edits:
        index.update(
            {path: None if ids is None else np.array(ids, dtype=np.int64) for path, ids in edit.items()}
        )
        for path, ids in edit.items():
            files.pop(path, None)
            if ids:
                files[path] = ids
    return index, files


@given(edits=EDITS, own=TOKENS, context=TOKENS, excluded=st.sampled_from((*PATHS, "none.py")))
@settings(deadline=None)
def test_a_match_equals_a_plain_scan_after_any_edits(
    edits: list[dict[str, list[int] | None]], own: list[int], context: list[int], excluded: str
) -> None:
    index, files = updated(edits)
    session = SuffixSession(index.snapshot(), excluded, own)
    files.pop(excluded, None)
    assert as_counts(longest(session, context)) == plain_match(files, own, context)


@given(edits=EDITS, context=TOKENS)
def test_updates_equal_a_rebuild(edits: list[dict[str, list[int] | None]], context: list[int]) -> None:
    index, files = updated(edits)
    rebuilt = SuffixIndex(10**6)
    rebuilt.update({path: np.array(ids, dtype=np.int64) for path, ids in files.items()})
    one, other = (longest(SuffixSession(made.snapshot(), "x.py", ()), context) for made in (index, rebuilt))
    assert as_counts(one) == as_counts(other)
    assert index.snapshot().n_tokens == sum(map(len, files.values()))


@given(
    ids=st.lists(st.integers(0, 2), min_size=1, max_size=40), context=st.lists(st.integers(0, 2), max_size=20)
)
def test_what_lies_ahead_is_what_the_file_says(ids: list[int], context: list[int]) -> None:
    match = longest(SuffixSession(SuffixSnapshot(), "x.py", ids), context)
    if match is None:
        return
    best, *others = match.candidates
    assert best.ahead[0] == best.token_id
    known = [*context[-match.length :], *best.ahead]
    assert any(ids[i : i + len(known)] == known for i in range(len(ids)))
    assert not any(other.ahead for other in others)  # only the best is drafted


def test_the_target_file_counts_up_to_the_cursor_only() -> None:
    index = SuffixIndex(100)
    index.update({"open.py": np.array([1, 2, 3, 9]), "other.py": np.array([1, 2, 3, 7])})
    match = longest(SuffixSession(index.snapshot(), "open.py", [1, 2, 3]), [1, 2, 3])
    assert match is not None
    assert [candidate.token_id for candidate in match.candidates] == [7]


def test_nearer_files_are_nearer_and_the_own_file_is_nearest() -> None:
    index = SuffixIndex(100)
    index.update({"pkg/near.py": np.array([1, 2, 5]), "far/away/x.py": np.array([1, 2, 6])})
    match = longest(SuffixSession(index.snapshot(), "pkg/open.py", [1, 2, 4, 1, 2]), [0, 1, 2])
    assert match is not None
    near = {candidate.token_id: candidate.near for candidate in match.candidates}
    assert near[4] == 1.0 > near[5] > near[6] > 0
    assert [candidate.n_own for candidate in match.candidates] == [1, 0, 0]


def test_each_file_is_as_near_as_it_is_to_the_one_that_asks() -> None:
    index = SuffixIndex(100)
    index.update({"a/x.py": np.array([1, 2, 5]), "b/y.py": np.array([1, 2, 6])})
    snapshot = index.snapshot()
    for path in ("a/open.py", "b/open.py", "a/other.py", "top.py"):
        match = longest(SuffixSession(snapshot, path, ()), [1, 2])
        assert match is not None
        near = [candidate.near for candidate in match.candidates]
        assert near == [near_of("a/x.py", path), near_of("b/y.py", path)]


@given(edits=EDITS, own=TOKENS, context=TOKENS, path=st.sampled_from(("open.py", "pkg/sub/open.py")))
def test_a_candidate_is_as_near_as_its_nearest_place_and_the_best_goes_on_from_there(
    edits: list[dict[str, list[int] | None]], own: list[int], context: list[int], path: str
) -> None:
    index, files = updated(edits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(followers, "MOST_COMPARED", 1_000)
        matches = SuffixSession(index.snapshot(), path, own).matches(context)
    for match in matches:
        last = context[-match.length :]
        ahead = {
            name: [ids[at + len(last) :] for at in range(len(ids)) if ids[at : at + len(last)] == last]
            for name, ids in {**files, path: own}.items()
        }
        for candidate in match.candidates:
            says = [name for name in ahead if any(ids[:1] == [candidate.token_id] for ids in ahead[name])]
            assert candidate.near == max(near_of(name, path) for name in says)
            assert candidate.n_own == sum(ids[:1] == [candidate.token_id] for ids in ahead[path])
        best = match.candidates[0]
        nearest = [name for name in ahead if near_of(name, path) == best.near]
        assert any(tuple(ids[:MOST_AHEAD]) == best.ahead for name in nearest for ids in ahead[name])


@given(edits=EDITS, own=TOKENS, context=TOKENS)
def test_further_matches_are_shorter_and_stand_at_twice_as_many_places(
    edits: list[dict[str, list[int] | None]], own: list[int], context: list[int]
) -> None:
    index, files = updated(edits)
    session = SuffixSession(index.snapshot(), "none.py", own)
    least, expected = 1, []
    for length in range(min(ORDER, len(context)), 0, -1):
        found = plain_match(files, own, context[-length:])
        if found and found[0] == length and sum(found[1].values()) >= least:
            expected.append(found)
            least = 2 * sum(found[1].values())
    assert [as_counts(match) for match in session.matches(context)] == expected[:MOST_MATCHES]


@given(edits=EDITS, own=st.lists(st.integers(0, 3), min_size=1, max_size=30), place=st.integers(0, 29))
def test_a_guess_at_an_own_token_knows_only_what_stands_before_it(
    edits: list[dict[str, list[int] | None]], own: list[int], place: int
) -> None:
    index, files = updated(edits)
    place = min(place, len(own) - 1)
    expected = plain_match(files, own[:place], own[max(0, place - ORDER) : place])
    guess = SuffixSession(index.snapshot(), "none.py", own).guess_at(place)
    if expected is None:
        assert guess is None
    else:
        length, counts = expected
        best = min(counts, key=lambda token: (-counts[token], token))
        assert guess == (length, best)


def test_files_beyond_the_cap_are_left_out_and_said() -> None:
    index = SuffixIndex(5)
    index.update({"a.py": np.array([1, 2, 3]), "b.py": np.array([1, 2, 3])})
    assert (index.snapshot().n_tokens, index.n_left_out) == (3, 1)
    index.update({"a.py": None, "b.py": np.array([1, 2])})
    assert (index.snapshot().n_tokens, index.n_left_out) == (2, 0)


def test_small_segments_are_merged_and_dead_ones_dropped() -> None:
    index = SuffixIndex(10**6)
    for number in range(64):
        index.update({f"{number}.py": np.arange(20)})
    assert len(index.snapshot().segments) <= 4
    for number in range(60):
        index.update({f"{number}.py": None})
    held = sum(part.segment.n_tokens for part in index.snapshot().segments)
    assert held < 2 * index.snapshot().n_tokens


def test_wide_vocabularies_keep_their_ids() -> None:
    session = SuffixSession(SuffixSnapshot(), "x.py", [70_000, 151_000, 70_000])
    match = longest(session, [70_000])
    assert match is not None
    assert match.candidates[0].token_id == 151_000


def test_a_large_range_is_sampled_and_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suffix_segment, "SAMPLE", 10)
    session = SuffixSession(SuffixSnapshot(), "x.py", [1, 2] * 500)
    match = longest(session, [1])
    assert match is not None
    assert [(c.token_id, c.count) for c in match.candidates] == [(2, 500)]


@given(edits=EDITS, own=TOKENS, context=TOKENS, sample=st.integers(1, 12))
def test_matches_are_those_of_length_after_length_also_among_samples(
    edits: list[dict[str, list[int] | None]], own: list[int], context: list[int], sample: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(suffix_segment, "SAMPLE", sample)
        sources = [LiveSegment(build_segment([("", np.array(own))]), np.ones(1, dtype=bool))] if own else []
        sources += updated(edits)[0].snapshot().segments
        least, expected = 1.0, []
        for length in range(min(ORDER, len(context)), 0, -1):
            support = sum(live_places(source, context[-length:]) for source in sources)
            if support >= least:
                expected.append((length, round(support)))
                least = 2 * support
        found = SuffixSession(updated(edits)[0].snapshot(), "none.py", own).matches(context)
    assert [(match.length, match.support) for match in found] == expected[:MOST_MATCHES]


def test_a_match_is_found_though_samples_of_shorter_ones_are_all_of_files_that_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suffix_segment, "SAMPLE", 2)
    index = SuffixIndex(10**6)
    index.update({"a.py": np.array([7, 1, 2] * 20), "b.py": np.array([9, 7, 1, 3])})
    match = longest(SuffixSession(index.snapshot(), "a.py", []), [9, 7, 1])
    assert match is not None
    assert (match.length, match.candidates[0].token_id) == (3, 3)


def live_places(source: LiveSegment, context: list[int]) -> float:
    """For how many places those stand that are looked at, file by file."""
    ranges = source.segment.ranges(context)
    if len(ranges) < len(context):
        return 0
    places, weight = source.segment.places(ranges[-1])
    return sum(source.alive[number] for number in source.segment.file_of(places)) * weight


@given(dead=st.sets(st.integers(0, 9)))
def test_places_of_dead_files_do_not_count_however_many_are_dead(dead: set[int]) -> None:
    segment = build_segment([(f"{number}.py", np.full(number + 1, number)) for number in range(10)])
    alive = np.array([number not in dead for number in range(10)])
    places = segment.order.astype(np.int64)
    found = LiveSegment(segment, alive).living(places)
    assert sorted(set(segment.file_of(found).tolist()) | dead) == list(range(10))
    assert not dead & set(segment.file_of(found).tolist())


@given(files=st.lists(TOKENS, min_size=1, max_size=4))
def test_numbers_too_wide_to_be_packed_are_sorted_alike(files: list[list[int]]) -> None:
    named = [(path, np.array(ids, np.int64)) for path, ids in zip(PATHS, files, strict=False)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suffix_segment, "WORD", 1)
        wide = build_segment(named)
    segment = build_segment(named)
    assert wide.order.tolist() == segment.order.tolist()
    before = [segment.stored[place - ORDER : place][::-1].tolist() for place in segment.order.tolist()]
    cut = [words[: words.index(0)] if 0 in words else words for words in before]
    assert cut == sorted(cut)


def test_a_segment_takes_six_bytes_a_token() -> None:
    segment = build_segment([("a.py", np.arange(10_000) % 500)])
    assert segment.n_bytes / segment.n_tokens < 6.1


def test_an_empty_memory_knows_nothing() -> None:
    assert longest(SuffixSession(SuffixSnapshot(), "x.py", ()), [1, 2]) is None
    assert longest(SuffixSession(SuffixSnapshot(), "x.py", [1]), []) is None

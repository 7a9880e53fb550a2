"""Which tokens of an open file were read, what stays after an edit, and what of a prompt they cover."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.readings.matching import SHORTEST_RUN
from model.readings.reading import MOST_CUT_OTHERWISE, PIECE, SHORTEST_STRETCH, Reading, Run
from model.runtime.pairs import Pairs

LONG = 4 * PIECE + 5
TEXT = list(range(1000, 1000 + LONG))


def pairs_of(token_ids: list[int]) -> Pairs:
    """Pairs whose every number is the token they are of."""
    numbers = torch.tensor(token_ids, dtype=torch.float32).view(1, 1, -1, 1)
    return Pairs(numbers.expand(2, 4, -1, 3).clone())


def read_all(reading: Reading, begin: int = 0, end: int = 1 << 30) -> int:
    """Says how many tokens were read."""
    n_read = 0
    while (wanted := reading.unread(begin, end)) is not None:
        reading.put(wanted[0], pairs_of(reading.tokens(*wanted)))
        n_read += wanted[1] - wanted[0]
    return n_read


def read_of(token_ids: list[int]) -> Reading:
    reading = Reading()
    reading.follow(token_ids)
    read_all(reading)
    return reading


def tokens_at(runs: tuple[Run, ...]) -> dict[int, int]:
    """The token whose pairs stand at each position."""
    return {
        place: int(token)
        for run in runs
        for place, token in zip(range(run.begin, run.end), told_by(run.parts), strict=True)
    }


def told_by(parts: tuple[Pairs, ...]) -> list[int]:
    return [int(token) for part in parts for token in part.whole()[0, 0, :, 0]]


def test_a_run_goes_on_from_any_of_its_positions() -> None:
    (run,) = read_of(TEXT).runs_in(TEXT, 0, LONG)
    assert len(run.parts) > 2
    for position in (0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, LONG - 1):
        assert told_by(run.parts_from(position)) == TEXT[position:]


def test_all_is_read_once_in_pieces() -> None:
    reading = Reading()
    reading.follow(TEXT)
    assert reading.unread(0, LONG) == (0, PIECE)
    assert read_all(reading) == LONG == reading.n_read
    assert reading.unread(0, LONG) is None
    reading.follow(list(TEXT))
    assert reading.n_read == LONG


def test_what_is_asked_for_is_read_and_no_more() -> None:
    reading = Reading()
    reading.follow(TEXT)
    assert read_all(reading, 200, 300) == 100
    assert reading.unread(100, 300) == (100, 200)
    assert reading.unread(250, 500) == (300, 300 + PIECE)
    reading.keep(0, 200)
    assert reading.n_read == 0


@pytest.mark.parametrize("place", [0, 1, PIECE - 1, PIECE, 2 * PIECE + 60, LONG])
def test_an_edit_costs_the_piece_that_it_touches(place: int) -> None:
    reading = read_of(TEXT)
    edited = [*TEXT[:place], 7, 8, 9, *TEXT[place:]]
    reading.follow(edited)
    n_read = read_all(reading)
    assert 3 <= n_read <= 3 + PIECE
    assert tokens_at(reading.runs_in(edited, 0, len(edited))) == dict(enumerate(edited))


@given(st.lists(st.integers(0, 3), max_size=300), st.lists(st.integers(0, 3), max_size=300), st.data())
def test_whatever_is_edited_pairs_are_of_their_tokens(
    first: list[int], second: list[int], data: st.DataObject
) -> None:
    reading = read_of(first)
    reading.follow(second)
    end = data.draw(st.integers(0, len(second)))
    read_all(reading, 0, end)
    begin = data.draw(st.integers(0, end))
    parts = reading.parts(begin, end)
    assert [int(token) for part in parts for token in part.whole()[0, 0, :, 0]] == second[begin:end]
    runs = reading.runs_in(second, 0, len(second))
    covered = tokens_at(runs)
    wrong = [place for place, token in covered.items() if second[place] != token]
    assert all(place + 1 in covered for place in wrong), "only what stands before a run may differ"


def test_a_window_from_the_middle_is_found_behind_what_is_told() -> None:
    reading = read_of(TEXT)
    prompt = [1, 2, 3, *TEXT[:9], *TEXT[200:400], 5, 6]
    covered = tokens_at(reading.runs_in(prompt, 3, len(prompt)))
    assert covered == dict(enumerate(prompt[3:-2], 3))


@pytest.mark.parametrize("n_other", range(1, MOST_CUT_OTHERWISE + 2))
def test_a_few_tokens_that_are_cut_otherwise_before_a_run_count_as_its_own(n_other: int) -> None:
    reading = read_of(TEXT)
    prompt = [*[5] * n_other, *TEXT[200:300]]
    covered = tokens_at(reading.runs_in(prompt, 0, len(prompt)))
    n_covered = n_other if n_other <= MOST_CUT_OTHERWISE else 0
    assert covered == dict(enumerate(TEXT[200 - n_covered : 300], n_other - n_covered))


def test_short_runs_are_chance_unless_the_text_begins_so() -> None:
    reading = read_of(TEXT)
    short = TEXT[50 : 50 + SHORTEST_RUN - 1]
    assert reading.runs_in(short, 0, len(short)) == ()
    assert tokens_at(reading.runs_in([*TEXT[:3], 5], 0, 4)) == dict(enumerate(TEXT[:3]))


def test_the_longest_run_is_taken_where_a_text_repeats_itself() -> None:
    header = TEXT[:40]
    reading = read_of([*header, 1, *header, *TEXT[100:200]])
    prompt = [9, *header, *TEXT[100:150]]
    (run,) = reading.runs_in(prompt, 1, len(prompt))
    assert (run.begin, run.end) == (1, 1 + 40 + 50)


def test_what_was_not_read_is_no_part_of_a_run() -> None:
    reading = Reading()
    reading.follow(TEXT)
    read_all(reading, 100, 200)
    assert tokens_at(reading.runs_in(TEXT, 0, LONG)) == {place: TEXT[place] for place in range(100, 200)}
    assert reading.parts(90, 150) == ()
    assert sum(len(part) for part in reading.parts_before(160, 500)) == 60
    assert sum(len(part) for part in reading.parts_before(160, 50)) == 50
    assert reading.parts_before(300, 50) == ()


def test_an_empty_text() -> None:
    reading = read_of([])
    assert reading.runs_in([1, 2, 3], 0, 3) == () and reading.runs_in([], 0, 0) == ()


@pytest.mark.parametrize(("length", "stands"), [(SHORTEST_STRETCH - 1, False), (SHORTEST_STRETCH, True)])
def test_in_the_midst_a_few_positions_are_not_worth_a_pass(length: int, stands: bool) -> None:
    reading = read_of(TEXT)
    part = TEXT[100 : 100 + length]
    assert bool(reading.runs_in([*range(9), *part, *range(9)], 0, length + 18)) is stands
    assert reading.runs_in([*part, *range(9)], 0, length + 9), "where a prompt begins nothing stands before"


def test_the_head_stands_by_itself_too_but_only_whole() -> None:
    reading = Reading()
    reading.follow(TEXT, n_head=5)
    read_all(reading)
    lead, late = TEXT[:5], TEXT[300:345]
    prompt = [*range(40), 7, *lead, *range(2), *late]
    runs = reading.runs_in(prompt, 0, len(prompt))
    begin = 41
    wanted = {begin + n: token for n, token in enumerate(lead)}
    wanted |= {len(prompt) - len(late) - 2 + n: token for n, token in enumerate(TEXT[298:345])}
    assert tokens_at(runs) == wanted, "the two before the window count as cut otherwise"
    torn = [*range(40), *lead[:4], *range(20), *late]
    assert min(run.begin for run in reading.runs_in(torn, 0, len(torn))) > 44
    reading.follow(TEXT)
    assert all(run.begin > begin + 5 for run in reading.runs_in(prompt, 0, len(prompt)))

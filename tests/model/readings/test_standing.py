"""What stood elsewhere in the last prompt is taken along: tiny random models against their own passes."""

from pathlib import Path

import pytest
import torch

from model.protocols import NEVER, Generation, Prompt, StopMode, StopRule
from model.readings.standing import READ_ANYWAY
from tests.model.readings.test_open_file_reader import Parts

PATH = "# app.py\n"
LINES = [f"    total_{number} = first_{number % 7} + second_{number % 5}\n" for number in range(40)]
SNIPPETS = "# Here are some relevant code fragments from other files of the repo:\n"


@pytest.fixture(params=["llama", "qwen2"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Parts:
    torch.set_num_threads(1)
    return Parts(tmp_path, request.param)


def window(first: int, end: int) -> str:
    return "".join(LINES[first:end])


def prompt_of(parts: Parts, text: str, told: str = "", name: str = "a", path: str = PATH) -> Prompt:
    ids = parts.ids(text)
    return Prompt((*parts.ids(told + path), *ids), open_text=name, n_window=len(ids))


def said(parts: Parts, prompt: Prompt) -> Generation:
    """What it cost is what was foretold."""
    foretold = parts.generator.n_to_read(prompt)
    found = parts.generator.generate(prompt, StopRule(max_tokens=3, mode=StopMode.BLOCK, prefix="x\n"), NEVER)
    assert found.n_prefilled == foretold
    return found


def assert_stands_as_read(parts: Parts, prompt: Prompt) -> None:
    """Of `prompt`, which was the last one: in the first layer a pair depends on its token and place alone."""
    n = len(prompt.token_ids) - 4
    moved = parts.runtime.lifted(0, n)
    parts.generator.forget()
    assert said(parts, prompt).n_read_before == 0
    torch.testing.assert_close(moved[0], parts.runtime.lifted(0, n)[0], rtol=1e-3, atol=1e-4)


def test_a_window_that_moves_on_is_not_read_again(parts: Parts) -> None:
    said(parts, prompt_of(parts, window(0, 20)))
    on = prompt_of(parts, window(4, 20) + LINES[20])
    got = said(parts, on)
    assert 0 < got.n_prefilled <= len(parts.ids(LINES[20])) + 4
    assert got.n_reused >= len(parts.ids(PATH))
    assert got.n_reused + got.n_read_before >= len(parts.ids(PATH + window(4, 20))) - 4


def test_what_moved_stands_where_it_would_have_been_read(parts: Parts) -> None:
    """In the first layer a pair depends on its token and its place alone."""
    said(parts, prompt_of(parts, window(0, 20)))
    on = prompt_of(parts, window(4, 20))
    assert said(parts, on).n_read_before > READ_ANYWAY
    n = len(on.token_ids) - 4
    moved = parts.runtime.lifted(0, n)
    parts.generator.forget()
    assert said(parts, on).n_read_before == 0
    read = parts.runtime.lifted(0, n)
    torch.testing.assert_close(moved[0], read[0], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(moved[1], read[1], rtol=1e-3, atol=1e-4), "deeper ones have seen what went"


def test_a_window_that_moves_back_reads_what_is_new_to_it(parts: Parts) -> None:
    said(parts, prompt_of(parts, window(4, 20)))
    back = said(parts, prompt_of(parts, window(0, 20)))
    n_new = len(parts.ids(window(0, 4)))
    assert n_new - 8 <= back.n_prefilled <= n_new + 4


def test_a_window_that_moves_on_and_back_reads_nothing_again(parts: Parts) -> None:
    """Looking ahead does so at every key near such a place."""
    here, ahead = prompt_of(parts, window(0, 20)), prompt_of(parts, window(4, 20) + "    x\n")
    said(parts, here)
    for _ in range(3):
        assert said(parts, ahead).n_prefilled <= 8
        assert said(parts, here).n_prefilled <= 4
    assert_stands_as_read(parts, here)


def test_what_had_gone_of_another_file_does_not_come_back(parts: Parts) -> None:
    said(parts, prompt_of(parts, window(0, 20)))
    said(parts, prompt_of(parts, window(4, 20)))
    said(parts, prompt_of(parts, window(4, 20), name="b"))
    assert said(parts, prompt_of(parts, window(0, 20), name="b")).n_prefilled > 40


@pytest.mark.parametrize("dropped", ["closed", "forgotten", "another"])
def test_of_a_closed_file_nothing_comes_back(parts: Parts, dropped: str) -> None:
    here, ahead = prompt_of(parts, window(0, 20)), prompt_of(parts, window(4, 20) + "    x\n")
    said(parts, here)
    said(parts, ahead)
    if dropped == "forgotten":
        parts.generator.forget()
        said(parts, ahead)
    else:
        parts.generator.close_text("a" if dropped == "closed" else "b")
    n_read = said(parts, here).n_prefilled
    assert n_read <= 4 if dropped == "another" else n_read > 40


def test_where_other_things_are_told_the_last_tokens_are_read(parts: Parts) -> None:
    said(parts, prompt_of(parts, window(0, 20), SNIPPETS + "# b.py\n# x = 1\n"))
    other = said(parts, prompt_of(parts, window(0, 20), SNIPPETS + "# c.py\n# another = 2\n"))
    n_told = len(parts.ids("# c.py\n# another = 2\n" + PATH))
    assert READ_ANYWAY <= other.n_prefilled <= READ_ANYWAY + n_told
    assert other.n_read_before >= len(parts.ids(window(0, 20))) - READ_ANYWAY - 4


def test_behind_an_edit_the_last_tokens_are_read(parts: Parts) -> None:
    said(parts, prompt_of(parts, window(0, 20)))
    edited = said(parts, prompt_of(parts, window(0, 6) + "    import os\n" + window(6, 20)))
    assert READ_ANYWAY <= edited.n_prefilled <= READ_ANYWAY + 12
    assert edited.n_read_before > READ_ANYWAY


def test_what_lies_behind_something_new_has_not_seen_it(parts: Parts) -> None:
    """The window moved on and something was put into its midst: the last tokens have to see that."""
    said(parts, prompt_of(parts, window(0, 20)))
    text = window(4, 10) + "    import os\n" + window(10, 20)
    assert said(parts, prompt_of(parts, text)).n_prefilled >= READ_ANYWAY


@pytest.mark.parametrize("change", ["file", "between"])
def test_of_another_file_nothing_is_taken(parts: Parts, change: str) -> None:
    said(parts, prompt_of(parts, window(0, 20)))
    name = "b" if change == "file" else "a"
    if change == "between":  # the same file again, when another text is in the cache
        said(parts, prompt_of(parts, "x = 1\n", path="# other.py\n", name="b"))
    got = said(parts, prompt_of(parts, window(4, 20), name=name))
    assert got.n_read_before == 0


def test_without_a_name_nothing_is_taken(parts: Parts) -> None:
    said(parts, prompt_of(parts, window(0, 20)))
    assert said(parts, prompt_of(parts, window(4, 20), name="")).n_read_before == 0
    parts.generator.forget()
    assert said(parts, prompt_of(parts, window(4, 20))).n_read_before == 0


def test_what_was_read_beforehand_fills_what_moved_leaves_open(parts: Parts) -> None:
    parts.read(PATH + window(0, 20))
    said(parts, prompt_of(parts, window(8, 20)))
    wide = said(parts, prompt_of(parts, window(0, 20)))
    assert wide.n_prefilled <= 4


def test_slots_stay_before_a_window_that_moves_on(parts: Parts) -> None:
    slots = parts.slots(LINES[3])
    first, second = (
        Prompt(prompt.token_ids, slots, open_text="a", n_window=prompt.n_window)
        for prompt in (prompt_of(parts, window(0, 20)), prompt_of(parts, window(4, 20)))
    )
    said(parts, first)
    got = said(parts, second)
    assert got.n_prefilled <= 4 and got.n_reused >= len(slots)


def test_other_slots_leave_the_last_tokens_to_be_read(parts: Parts) -> None:
    prompt = prompt_of(parts, window(0, 20))
    for line in (LINES[3], LINES[5]):
        said(parts, Prompt(prompt.token_ids, parts.slots(line), open_text="a", n_window=prompt.n_window))
    last = said(
        parts, Prompt(prompt.token_ids, parts.slots(LINES[7]), open_text="a", n_window=prompt.n_window)
    )
    assert READ_ANYWAY <= last.n_prefilled <= READ_ANYWAY + len(parts.ids(PATH)) + 1


FIRST = "# b.py\n" + "".join(f"# beta_{number} = gamma_{number % 3}\n" for number in range(5))
SECOND = "# c.py\n" + "".join(f"# delta_{number} = zeta_{number % 4}\n" for number in range(5))
THIRD = "# d.py\n" + "".join(f"# eta_{number} = theta_{number % 5}\n" for number in range(5))


def telling(parts: Parts, *snippets: str, name: str = "a", first: int = 0) -> Prompt:
    told = [number for text in (SNIPPETS, *snippets) for number in parts.ids(text)]
    path, own = parts.ids(PATH), parts.ids(window(first, 16))
    return Prompt((*told, *path, *own), open_text=name, n_told=len(told), n_path=len(path), n_window=len(own))


def test_what_is_told_in_another_place_is_not_read_again(parts: Parts) -> None:
    said(parts, telling(parts, FIRST, SECOND))
    other = said(parts, telling(parts, THIRD, FIRST, first=4))
    n_new = len(parts.ids(THIRD + PATH))
    assert READ_ANYWAY <= other.n_prefilled <= READ_ANYWAY + n_new + 8
    assert other.n_read_before >= len(parts.ids(FIRST + window(4, 16))) - READ_ANYWAY - 8


def test_what_is_told_in_another_place_stands_where_it_would_have_been_read(parts: Parts) -> None:
    said(parts, telling(parts, FIRST, SECOND))
    turned = telling(parts, SECOND, FIRST)
    assert said(parts, turned).n_read_before > READ_ANYWAY
    assert_stands_as_read(parts, turned)


def test_a_path_never_moves(parts: Parts) -> None:
    """Even where it stands in the midst of what moves as a whole."""
    said(parts, telling(parts, FIRST, SECOND))
    found = parts.generator._tasks.task_of(telling(parts, THIRD, SECOND), StopRule(max_tokens=3))
    begin = len(parts.ids(SNIPPETS + THIRD + SECOND))
    path = range(begin, begin + len(parts.ids(PATH)))
    assert found.inputs.runs and not any(
        run.begin < place < run.end for run in found.inputs.runs for place in path
    )


@pytest.mark.parametrize("before", ["another file", "nothing told"])
def test_what_is_told_comes_of_the_same_kind_of_prompt_alone(parts: Parts, before: str) -> None:
    if before == "another file":
        said(parts, telling(parts, FIRST, SECOND, name="b"))
    else:
        said(parts, prompt_of(parts, window(0, 20)))
    n_told = len(parts.ids(FIRST + SECOND))
    assert said(parts, telling(parts, SECOND, FIRST)).n_prefilled >= n_told


def test_what_went_when_other_things_were_told_comes_back(parts: Parts) -> None:
    said(parts, telling(parts, FIRST, SECOND))
    said(parts, telling(parts, SECOND, FIRST, first=4))
    assert said(parts, telling(parts, SECOND, FIRST)).n_prefilled <= 4

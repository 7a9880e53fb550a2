"""The open file's tokens and the memory's record, kept from request to request."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexer import open_file_memory
from indexer.open_file_memory import OpenFileMemory
from indexer.suffix_index import SuffixIndex, SuffixSnapshot
from indexer.suffix_session import SuffixSession

EMPTY = SuffixSnapshot()


class Letters:
    """A tokenizer of single characters that counts what it was given."""

    def __init__(self) -> None:
        self.n_chars = 0

    def __call__(self, text: str) -> list[int]:
        self.n_chars += len(text)
        return list(text.encode("utf-8"))


def own_ids(session: SuffixSession) -> list[int]:
    return session._sources[0].segment.tokens_of(0).tolist() if session._sources else []


@given(texts=st.lists(st.text("ab \n", max_size=40), max_size=6))
def test_tokens_are_those_of_the_whole_text(texts: list[str]) -> None:
    memory = OpenFileMemory(Letters())
    for text in texts:
        assert own_ids(memory.session(EMPTY, "x.py", text)) == list(text.encode())


def test_typing_encodes_the_last_lines_only() -> None:
    letters, text = Letters(), "value = 1\n" * 1000
    memory = OpenFileMemory(letters)
    memory.session(EMPTY, "x.py", text)
    assert letters.n_chars == len(text)
    for typed in ("x", "xy", "xyz\n", "xyz\nz"):
        letters.n_chars = 0
        assert own_ids(memory.session(EMPTY, "x.py", text + typed)) == list((text + typed).encode())
        assert letters.n_chars <= len("\nxyz\nz")


def test_a_long_file_is_cut_at_its_beginning_in_steps() -> None:
    letters = Letters()
    memory = OpenFileMemory(letters)
    text = "value = 1\n" * 10_000
    sessions = [memory.session(EMPTY, "x.py", text + "y" * n) for n in range(5)]
    assert len(own_ids(sessions[0])) <= open_file_memory.MOST_CHARS
    assert letters.n_chars < open_file_memory.MOST_CHARS + 100


def snapshot_of(*files: str) -> SuffixSnapshot:
    index = SuffixIndex(10**6)
    index.update({f"{n}.py": np.array(list(text.encode()), dtype=np.int64) for n, text in enumerate(files)})
    return index.snapshot()


def test_the_record_says_how_often_the_memory_was_right() -> None:
    line = "compute_the_value(first)\n"
    known = OpenFileMemory(Letters()).session(snapshot_of(line * 3), "x.py", line).record
    assert known.n_positions == len(line) - 1
    # Past its first letters nothing else ever followed.
    assert known.hits_very_long == known.n_very_long > 10
    assert known.hits_long >= known.n_long - 2
    strange = (
        OpenFileMemory(Letters()).session(snapshot_of(line * 3), "x.py", "qwxz 0123456789 QWXZ\n").record
    )
    assert strange.n_long == strange.hits_long == 0


def test_the_record_does_not_know_the_future() -> None:
    """A token's own place in the file does not count for guessing it."""
    record = OpenFileMemory(Letters()).session(EMPTY, "x.py", "abcdefgh").record
    assert (record.n_short, record.n_long) == (0, 0)


def test_only_new_tokens_are_guessed() -> None:
    memory = OpenFileMemory(Letters())
    text = "value = compute(value)\n" * 4
    memory.session(EMPTY, "x.py", text)
    asked: list[int] = []
    guess_at = SuffixSession.guess_at

    def noting(session: SuffixSession, place: int) -> tuple[int, int] | None:
        asked.append(place)
        return guess_at(session, place)

    SuffixSession.guess_at = noting  # type: ignore[method-assign]
    try:
        memory.session(EMPTY, "x.py", text + "va")
    finally:
        SuffixSession.guess_at = guess_at  # type: ignore[method-assign]
    assert asked == [len(text), len(text) + 1]


def test_the_record_is_that_of_the_last_tokens() -> None:
    record = OpenFileMemory(Letters()).session(EMPTY, "x.py", "ab" * 500).record
    assert record.n_positions == open_file_memory.RECORDED
    assert record.hits_very_long == record.n_very_long == open_file_memory.RECORDED

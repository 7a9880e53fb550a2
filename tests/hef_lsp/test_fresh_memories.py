"""Memories made at a request."""

from collections.abc import Sequence

import numpy as np

from hef_lsp.fresh_memories import MOST_KEPT, FreshMemories
from model.protocols import FloatArray
from tests.fakes import FakeFuser


class CountingFuser(FakeFuser):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> FloatArray:
        self.asked += texts
        return super().encode(texts)


def test_each_is_made_once_and_is_what_the_fuser_says() -> None:
    fuser = CountingFuser()
    fresh = FreshMemories(fuser, seconds=60)
    first = fresh.of({"a": "one", "b": "two"})
    again = fresh.of({"b": "two", "a": "one"})
    assert fuser.asked == ["one", "two"]
    assert np.array_equal(first["b"], FakeFuser().encode(["two"])[0])
    assert np.array_equal(first["a"], again["a"])


def test_none_is_made_without_time_but_those_made_are_given() -> None:
    fuser = CountingFuser()
    fresh = FreshMemories(fuser, seconds=60)
    fresh.of({"a": "one"})
    fresh._seconds = 0.0
    assert set(fresh.of({"b": "two", "a": "one"})) == {"a"}
    assert fuser.asked == ["one"]


def test_only_the_last_are_kept() -> None:
    fuser = CountingFuser()
    fresh = FreshMemories(fuser, seconds=60)
    for number in range(MOST_KEPT + 1):
        fresh.of({str(number): f"text {number}"})
    fresh.of({str(MOST_KEPT): f"text {MOST_KEPT}"})
    assert len(fuser.asked) == MOST_KEPT + 1
    fresh.of({"0": "text 0"})
    assert len(fuser.asked) == MOST_KEPT + 2

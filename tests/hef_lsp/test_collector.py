"""Long-lived objects are put aside, and what became garbage since is still freed by the next call."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from hef_lsp.collector import settle


class Knot:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_there_is_put_aside() -> None:
    settle()
    assert gc.get_freeze_count() > 1000


def test_cycles_that_were_put_aside_are_freed_by_the_next_call() -> None:
    knot = Knot()
    seen = weakref.ref(knot)
    settle()
    del knot
    gc.collect()
    assert seen() is not None
    settle()
    assert seen() is None

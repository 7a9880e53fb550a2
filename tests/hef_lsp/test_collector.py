"""Long-lived objects are put aside, and what became garbage since is still freed by the next call."""

from __future__ import annotations

import gc
import subprocess
import sys
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


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems' allocators are not asked")
def test_memory_that_nobody_uses_goes_back_to_the_system() -> None:
    program = (
        "import psutil\n"
        "from hef_lsp.collector import settle\n"
        "pieces = [bytes(100_000) for _ in range(2_000)]\n"  # too small to be mapped one by one
        "last = bytes(100_000)\n"  # and what lies behind them keeps them
        "del pieces\n"
        "before = psutil.Process().memory_info().rss\n"
        "settle()\n"
        "print(before - psutil.Process().memory_info().rss)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(run.stdout) > 100_000_000

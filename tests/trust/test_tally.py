"""The table says what was counted, zeros too."""

from __future__ import annotations

from collections import Counter

import pytest
import tally


def test_the_table_shows_what_was_counted_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_tally", Counter())
    tally.count(tally.Row.BYTES_TO_NETWORK, 0)
    tally.count(tally.Row.FAULTS_INJECTED, 1200)
    tally.count(tally.Row.FAULTS_INJECTED)
    assert tally.table() == [
        "faults injected                   1,201",
        "bytes sent to the network             0",
    ]


def test_nothing_counted_makes_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_tally", Counter())
    assert tally.table() == []

"""What rows cost is measured with passes when a model is loaded."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from tiny_models import load_tiny_model

from model.runtime import row_costs
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.row_costs import ASSUMED, MOST_ROWS, measured


class Clock:
    """Time that passes as passes are made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(row_costs.time, "perf_counter", lambda: self.now_s)

    def passes(self, cost: dict[int, float]) -> row_costs.Pass:
        def read(n_rows: int) -> None:
            self.now_s += cost[n_rows]

        return read


def test_where_rows_are_dear_plain_matrices_read_prompts_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    compact = clock.passes({1: 28.0, 2: 35.0, 4: 77.0, 6: 111.0, 8: 145.0})
    costs = measured(compact, clock.passes({2: 42.0, 4: 46.0, 6: 50.0, 8: 53.0}))
    assert costs.n_few == 2
    between = (35.0, 56.0, 77.0, 94.0, 111.0, 128.0, 145.0)
    assert costs.costs == pytest.approx([1.0, *(x / 28 for x in between)])


def test_where_rows_are_cheap_compact_weights_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    compact = clock.passes({1: 12.0, 2: 14.0, 4: 18.0, 6: 22.0, 8: 26.0})
    costs = measured(compact, clock.passes({2: 30.0, 4: 29.0, 6: 30.0, 8: 31.0}))
    assert costs.n_few == MOST_ROWS
    assert costs.costs == pytest.approx(ASSUMED.costs)


def test_costs_never_fall_with_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    compact = clock.passes({1: 30.0, 2: 60.0, 4: 50.0, 6: 60.0, 8: 70.0})
    costs = measured(compact, clock.passes({2: 20.0, 4: 19.0, 6: 22.0, 8: 25.0}))
    assert costs.n_few == 1
    assert costs.costs[0] == 1.0 and list(costs.costs) == sorted(costs.costs)


def test_a_slow_while_makes_no_number_of_rows_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, n_passes = Clock(monkeypatch), count()
    cost = {1: 12.0, 2: 14.0, 4: 18.0, 6: 22.0, 8: 26.0}

    def compact(n_rows: int) -> None:
        slower = 4 if 5 <= next(n_passes) < 13 else 1
        clock.now_s += slower * cost[n_rows]

    costs = measured(compact, clock.passes({2: 30.0, 4: 29.0, 6: 30.0, 8: 31.0}))
    assert costs.costs == pytest.approx(ASSUMED.costs)


def test_at_load_they_are_measured(tmp_path: Path) -> None:
    runtime = FastRuntime(load_tiny_model(tmp_path).model, Weights.INT8)
    runtime.warm_up()
    assert runtime.row_costs is not ASSUMED and runtime.n_positions == 0
    assert len(runtime.row_costs.costs) == MOST_ROWS

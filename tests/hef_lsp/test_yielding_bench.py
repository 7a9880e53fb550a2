"""Keys are timed by turns at rest and beside an index that is made, and only answers count."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from hef_lsp.bench.replay import REFUSED, Pace, Replay, Reply
from hef_lsp.bench.yielding import Watch, YieldingPlan, figures_of, measure_yielding, yielding_table

STUB = (sys.executable, str(Path(__file__).with_name("stub_server.py")))


async def test_keys_are_typed_beside_a_first_index_and_at_rest(tmp_path: Path) -> None:
    for number in range(4):
        lines = f"def function_{number}(value):\n    return another_function(value) + {number}\n"
        (tmp_path / f"{number}.py").write_text(lines)
    plan = YieldingPlan(workspace=tmp_path, n_turns=2, n_lines=1, pace=Pace(1, 1), command=STUB)
    report = await measure_yielding(plan)
    assert report["idle"]["n"] > 10 and report["indexing"]["n"] > 10
    assert report["indexes_begun"] >= 2 and report["ratio"] > 0
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(yielding_table(report))
    assert "a first index runs" in console.export_text()


def test_the_ratio_is_of_what_was_answered() -> None:
    idle = Replay([Reply(10, "generated", True), Reply(999, REFUSED, False)])
    indexing = Replay([Reply(15, "generated", True)])
    report = figures_of(idle, indexing, Watch(4, 3, 1))
    assert (report["ratio"], report["share_at_work"], report["idle"]["n"]) == (1.5, 0.75, 1)

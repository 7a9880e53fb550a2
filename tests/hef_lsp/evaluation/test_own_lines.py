"""Lines of one's own repository, hidden and asked for over the wire."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hef_lsp.evaluation import own_lines
from hef_lsp.evaluation.own_lines import NothingToHide, OwnPlan, lines_to_hide, measure_own_lines
from hef_lsp.lsp_client import ServerNotReady
from hef_lsp.settings import ModelSettings

STUB = (sys.executable, str(Path(__file__).parents[1] / "stub_server.py"))
SOURCE = "def first(value):\n    return second_value(value)\n\n\ndef third(one, two):\n    return one + two\n"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_lines, "SETTLING_S", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(SOURCE)
    (tmp_path / "src" / "b.py").write_text(SOURCE.replace("second_value", "other_value"))
    return tmp_path / "src"


def test_lines_are_drawn_once_and_by_the_seed(folder: Path) -> None:
    chosen = lines_to_hide(folder, 6, seed=1)
    assert chosen == lines_to_hide(folder, 6, seed=1)
    places = {(passage.path.name, passage.first_line) for passage in chosen}
    assert len(places) == len(chosen) == 6
    assert len(lines_to_hide(folder, 100, seed=1)) == 8
    with pytest.raises(NothingToHide, match="has a line to hide"):
        lines_to_hide(folder / "nowhere", 3, seed=0)


async def test_hidden_lines_are_asked_for_where_they_stood(folder: Path) -> None:
    plan = OwnPlan(folder, ("none", "text+memory"), 8, 0, ModelSettings(), command=STUB)
    report = await measure_own_lines(plan)
    assert report["benchmark"] == "src"
    # The stub says what stands before the cursor, which is never the line: it was taken out.
    for figures in report["arms"].values():
        assert (figures["n"], figures["em"]) == (8, 0.0)
        # All but `return second_value(value)` and its like stand in the other file, too.
        assert (figures["copied"]["n"], figures["new"]["n"]) == (6, 2)


async def test_a_server_that_is_not_ready_is_no_measurement(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = own_lines.options_of
    monkeypatch.setattr(own_lines, "options_of", lambda *args: given(*args) | {"stub": "error"})
    with pytest.raises(ServerNotReady, match="no model"):
        await measure_own_lines(OwnPlan(folder, ("none",), 1, 0, ModelSettings(), command=STUB))

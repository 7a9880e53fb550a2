"""Figures by arm and subset, and how they are shown; worked out by hand."""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from typing import Any

import pytest

from hef_lsp.evaluation.pages import html_of, markdown_of, table_of
from hef_lsp.evaluation.plots import NoPlots, pictures_of
from hef_lsp.evaluation.report import report_of
from hef_lsp.evaluation.runner import ArmResult
from model.evaluation.benchmarks import BenchmarkRow
from model.evaluation.metrics import repocoder

TARGET = "abcdefghij"
ROWS = [BenchmarkRow(f"t/{number}", "r", "a.py", "", "", TARGET) for number in range(4)]
SAID = {
    "none": ("x", "abcdefghij", "abcde", "abcdefghij"),
    "text": ("abcdefghij", "abcdefghi", "abcdefghij", "abcdefghij"),
    "text+memory": ("abcdefghij", "abcdefghij", "a", "abcdefghij"),
    "dense:8": ("x", "abcdefghij", "abcdefghij", "abcdefghij"),
}
SETTING: dict[str, Any] = {
    "model": "tiny",
    "commit": "abc",
    "at": "now",
    "seed": 0,
    "suffix": False,
    "machine": {"device_name": "a machine <1>"},
}


def report(against: Sequence[str] = ()) -> dict[str, Any]:
    results = [
        ArmResult(row.task_id, arm, answer, 10.0 * (number + 1), 5.0, number < 2, 100 * number)
        for arm, answers in SAID.items()
        for number, (row, answer) in enumerate(zip(ROWS, answers, strict=True))
    ]
    figures = report_of(repocoder, ROWS, results, list(SAID), against)
    return {"benchmark": "a-bench", "half": "dev", **figures}


def test_means_times_and_subsets() -> None:
    figures = report()["arms"]["none"]
    assert (figures["n"], figures["em"], figures["es"]) == (4, 0.5, 0.625)
    assert figures["latency_ms"]["p50"] == 25.0 and figures["warm_ms"] == {"p50": 5.0, "p95": 5.0}
    assert figures["copied"] == {"n": 2, "em": 0.5, "es": 0.5}
    assert figures["new"] == {"n": 2, "em": 0.5, "es": 0.75}


def test_harm_and_recovery() -> None:
    arms = report()["arms"]
    assert "harm" not in arms["none"]
    # The second answer is worse by 0.1 only; the third of text+memory by 0.4.
    assert (arms["text"]["harm"], arms["text+memory"]["harm"]) == (0.0, 0.25)
    # Similarities sum to 2.5, 3.9, 3.1 and 3.0.
    assert arms["text+memory"]["recovery"] == {"em": 1.0, "es": round(0.6 / 1.4, 3)}
    assert arms["dense:8"]["recovery"] == {"em": 1.0, "es": round(0.5 / 1.4, 3)}
    assert "recovery" not in arms["text"]


def test_differences_are_to_the_first_arm_and_of_memory_to_the_same_without() -> None:
    differences = report()["differences"]
    assert list(differences) == ["text - none", "text+memory - none", "dense:8 - none", "text+memory - text"]
    assert (differences["text - none"]["wins"], differences["text - none"]["losses"]) == (2, 1)
    assert differences["text+memory - text"]["em"]["value"] == 0.0


def test_differences_to_other_arms_are_told_where_asked_for() -> None:
    against = report(["text", "graph"])["differences"]
    more = [name for name in against if name not in report()["differences"]]
    assert more == ["dense:8 - text"], "text - none is told already"
    assert (against["dense:8 - text"]["wins"], against["dense:8 - text"]["losses"]) == (1, 1)


def test_harm_is_compared_where_both_have_another_to_be_measured_by() -> None:
    differences = report(["text"])["differences"]
    assert differences["text+memory - text"]["harm"]["value"] == 0.25
    assert differences["dense:8 - text"]["harm"]["value"] == 0.0
    assert "harm" not in differences["text - none"]


def test_an_arm_that_gains_nothing_leaves_no_recovery() -> None:
    results = [ArmResult("t/0", arm, TARGET, 1.0) for arm in ("none", "text", "graph")]
    arms = report_of(repocoder, ROWS, results, ["none", "text", "graph", "iterative"])["arms"]
    assert arms["graph"]["recovery"] == {"em": None, "es": None} and "iterative" not in arms


def test_time_by_size() -> None:
    groups = report()["by_size"]["none"]
    assert [(group["n"], group["chunks"], group["p50_ms"]) for group in groups[:2]] == [
        (1, 0.0, 10.0),
        (1, 100.0, 20.0),
    ]


def test_a_page_and_a_table() -> None:
    run = report()
    page = markdown_of(SETTING, [run, run | {"benchmark": "other"}])
    assert "tiny, commit abc, a machine <1>, now; seed 0, suffix not shown." in page
    assert "## a-bench, dev" in page and "## other, dev" in page
    assert re.search(r"^\| none \| 4 \| 0\.500 \(", page, re.MULTILINE)
    assert "| text - none | 2, 1 | 1.000 | +0.250 (" in page
    assert "| text+memory | 1.000 (2) | 0.500 (2) | 0.250 | 0.43 | 5, 5 |" in page
    assert table_of(run).row_count == 4


def test_a_page_with_plots_is_the_same_each_time() -> None:
    run = report()
    pictures = {"a-bench": pictures_of(run)}
    assert len(pictures["a-bench"]) == 5  # one of them for the arm with a budget
    page = html_of(SETTING, [run], pictures)
    assert page.count("<svg") == 5 and "a machine &lt;1&gt;" in page and "<?xml" not in page
    assert page == html_of(SETTING, [run], {"a-bench": pictures_of(run)})
    assert "dense:8" in page and page.count("<table>") == 3


def test_a_budget_is_drawn_beside_what_has_none() -> None:
    (picture,) = (one for one in pictures_of(report()) if "budget, tokens" in one)
    assert ">dense</text>" in picture and ">text</text>" in picture and ">none</text>" not in picture


def test_without_a_budget_there_are_four_plots() -> None:
    run = report()
    run["arms"].pop("dense:8")
    assert len(pictures_of(run)) == 4


def test_harm_is_drawn_where_it_was_measured() -> None:
    run = report()
    assert any("answers made worse" in picture for picture in pictures_of(run))
    for figures in run["arms"].values():
        figures.pop("harm", None)
    assert not any("answers made worse" in picture for picture in pictures_of(run))


def test_differences_are_drawn_with_their_names() -> None:
    (drawn,) = [picture for picture in pictures_of(report()) if "difference in edit similarity" in picture]
    assert all(name in drawn for name in report()["differences"])


def test_plots_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return known(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(NoPlots, match=r"hef-lsp\[eval\]"):
        pictures_of(report())

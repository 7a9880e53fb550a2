"""The benches measure what they say: choice of lines, sources of answers, ratios, sizes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import fake_bundle
from index_fakes import FakeIndexes
from rich.console import Console

from hef_lsp.bench import figures, latency
from hef_lsp.bench.figures import Spread, commit_of, write_json
from hef_lsp.bench.index import IndexFailed, IndexPlan, index_table, measure_index, standard_library
from hef_lsp.bench.source_lines import copy_lines, lines_to_type, spread_over
from hef_lsp.scheduling import InferenceLane

STUB = (sys.executable, str(Path(__file__).with_name("stub_server.py")))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    root = tmp_path / "sources"
    (root / "pkg").mkdir(parents=True)
    (root / "a.py").write_text("def first(value):\n    return second_value(value)\n")
    (root / "pkg" / "b.py").write_text("x = 1\n\tresult = 'é😀' + compute(x)\n" * 3)
    (root / "pkg" / "dos.py").write_bytes(b"a_line_that_is_long_enough = 1\r\n")
    (root / "binary.py").write_bytes(b"\0\1\2" * 100)
    return root


@pytest.fixture
def lane() -> Iterator[InferenceLane]:
    lane = InferenceLane()
    yield lane
    lane.close()


def printed(*renderables: object) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(*renderables)
    return console.export_text()


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "machine", lambda: {"device_name": "a test's machine"})


def test_lines_to_type_are_the_same_for_the_same_seed_and_give_the_file_back(sources: Path) -> None:
    chosen = lines_to_type(sources, n_files=10, n_keys=12, seed=3)
    assert chosen == lines_to_type(sources, n_files=10, n_keys=12, seed=3)
    assert {line.path.name for line in chosen} == {"a.py", "b.py"}  # \r\n and binary files are left out
    for line in chosen:
        original = line.path.read_text().split("\n")
        shown = line.shown.split("\n")
        assert shown[line.line] == line.typed_before and line.typed_before.strip() == ""
        assert original[line.line].startswith(line.typed_before + line.keys) and len(line.keys) == 12
        del original[line.line], shown[line.line]
        assert shown == original


def test_copied_workspaces_have_the_size_that_was_asked_for(sources: Path, tmp_path: Path) -> None:
    assert copy_lines(sources, tmp_path / "four", 4) == 4
    copied = sorted(
        path.relative_to(tmp_path / "four").as_posix() for path in (tmp_path / "four").rglob("*.py")
    )
    assert copied == ["a.py", "pkg/b.py"]
    assert (tmp_path / "four/pkg/b.py").read_text().count("\n") == 2
    assert copy_lines(sources, tmp_path / "all", 10_000) == 9


def test_files_are_spread_evenly() -> None:
    paths = [Path(str(number)) for number in range(10)]
    assert [path.name for path in spread_over(paths, 3)] == ["0", "3", "6"]
    assert spread_over(paths[:1], 5) == paths[:1] and spread_over([], 5) == []


def test_spread_of_values() -> None:
    assert Spread.of([]) == Spread(0, 0.0, 0.0, 0.0)
    assert Spread.of([float(value) for value in range(101)]) == Spread(101, 50.0, 95.0, 100.0)


def test_commit_outside_a_checkout_is_unknown(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None


def test_report_is_plain_json(tmp_path: Path) -> None:
    write_json({"path": Path("x"), "n": 1}, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == {"path": "x", "n": 1}


async def test_latency_over_the_wire(sources: Path) -> None:
    plan = latency.LatencyPlan(sources, ("none", "text"), n_files=2, n_keys=8, command=STUB)
    report = await latency.measure_latency(plan)
    assert report["workspace"] == "sources" and str(sources.parent) not in json.dumps(report)
    for arm in ("none", "text"):
        measured = report["arms"][arm]
        assert measured["sources"] == {"exact": 4, "generated": 8, "refused": 4}
        assert measured["share_of_cache_hits"] == 0.25 and measured["share_shown"] == 0.75
        assert measured["all"]["n"] == 16 and measured["generated"]["n"] == 8
        assert measured["stages"]["decode_ms"]["max_ms"] == 15.0  # of generated answers alone
        assert 0 < measured["generated"]["p50_ms"] <= measured["generated"]["p95_ms"]
    ratio = report["ratio_to_none"]
    assert ratio["none"] == {"p50_ms": 1.0, "p95_ms": 1.0} and ratio["text"]["p50_ms"] > 0


async def test_each_arm_is_asked_of_the_server_by_its_settings(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    inner = latency._key_result

    def note_mode(elapsed_ms: float, shown: bool, before: object, after: dict) -> latency.KeyResult:
        modes.append(after["mode"])
        return inner(elapsed_ms, shown, before, after)

    monkeypatch.setattr(latency, "_key_result", note_mode)
    plan = latency.LatencyPlan(sources, ("none", "dense"), n_files=1, n_keys=2, command=STUB)
    await latency.measure_latency(plan)
    assert modes == ["none", "none", "dense", "dense"]


async def test_a_server_that_does_not_get_ready_is_told(sources: Path) -> None:
    plan = latency.LatencyPlan(sources, ("none",), options={"stub": "error"}, n_keys=8, command=STUB)
    with pytest.raises(latency.ServerNotReady, match="the server is error: no model"):
        await latency.measure_latency(plan)


async def test_a_folder_without_lines_is_told(tmp_path: Path) -> None:
    with pytest.raises(latency.NothingToType, match="has a line of 12 characters"):
        await latency.measure_latency(latency.LatencyPlan(tmp_path))


def test_tables_show_every_arm_and_stage() -> None:
    results = [
        latency.KeyResult(10.0, "generated", True, {"decode_ms": 7.0, "total_ms": 9.0}),
        latency.KeyResult(1.0, "typed-through", True, {"total_ms": 0.1}),
    ]
    arms = {arm: latency.summary_of(results) for arm in ("none", "text")}
    report = {
        "workspace": "w",
        "machine": {"device_name": "m"},
        "arms": arms,
        "ratio_to_none": latency._ratios(arms),
    }
    shown = printed(latency.latency_table(report), latency.stages_table(report))
    for word in ("none", "text", "50%", "10.0", "1.00x", "decode", "7.0 / 7.0"):
        assert word in shown
    assert latency._ratios({"text": arms["text"]}) == {}


def test_index_of_growing_workspaces(
    sources: Path, lane: InferenceLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexes = FakeIndexes()
    monkeypatch.setattr("hef_lsp.workspace._open_index", indexes)
    report = measure_index(IndexPlan((2, 100), sources, n_updates=2), fake_bundle(), lane)
    small, large = report["sizes"]
    assert (small["lines"], large["lines"]) == (2, 9)
    assert large["first"]["embedded"] == large["first"]["fused"] == 3
    assert 0 < large["first"]["searchable_s"] <= large["first"]["whole_s"]
    assert large["update"]["n"] == 2 and large["update"]["p50_ms"] > 0
    assert large["update"]["most_embedded"] == large["update"]["most_fused"] == 1
    assert all("hef_lsp_bench_line" in text for text in list(indexes.last.texts.values())[-2:])
    assert str(sources.parent) not in json.dumps(report)
    assert "9" in printed(index_table(report))


def test_an_index_that_fails_is_told(
    sources: Path, lane: InferenceLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexes = FakeIndexes()
    indexes.trouble = OSError("no space left on device")
    monkeypatch.setattr("hef_lsp.workspace._open_index", indexes)
    with pytest.raises(IndexFailed, match="the index is error: no space left on device"):
        measure_index(IndexPlan((2,), sources), fake_bundle(), lane)


def test_the_standard_librarys_sources_are_there() -> None:
    assert (standard_library() / "argparse.py").is_file()

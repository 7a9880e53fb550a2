"""The benches measure what they say: choice of lines, sources of answers, ratios, sizes."""

from __future__ import annotations

import asyncio
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
from hef_lsp.bench.latency_tables import latency_table, stages_table
from hef_lsp.bench.replay import Pace, Replay, Reply, reply_of, type_passage
from hef_lsp.bench.scale import ScalePlan, measure_scale, scale_table
from hef_lsp.bench.soak import Sample, SoakPlan, figures_of, measure_soak, soak_table
from hef_lsp.bench.source_lines import Passage, copy_lines, passages_to_type, spread_over
from hef_lsp.evaluation.arms import UnknownArm
from hef_lsp.lsp_client import ServerNotReady
from hef_lsp.scheduling import InferenceLane
from hef_lsp.settings import ContextSettings

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


def test_passages_are_the_same_for_the_same_seed_and_give_the_file_back(sources: Path) -> None:
    chosen = passages_to_type(sources, n_files=10, n_lines=2, seed=3)
    assert chosen == passages_to_type(sources, n_files=10, n_lines=2, seed=3)
    assert {passage.path.name for passage in chosen} == {"a.py"}  # too short, \r\n and binary are left out
    for passage in passages_to_type(sources, n_files=10, n_lines=1, seed=3):
        original = passage.path.read_text()
        assert passage.before + "\n".join(passage.lines) + passage.after == original
        assert original.split("\n")[passage.first_line] == passage.lines[0]


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


HURRIED = Pace(key_ms=0.0, read_ms=0.0)


async def test_latency_over_the_wire(sources: Path) -> None:
    plan = latency.LatencyPlan(
        workspace=sources, arms=("none", "text"), n_files=1, n_lines=2, pace=HURRIED, command=STUB
    )
    report = await latency.measure_latency(plan)
    assert report["workspace"] == "sources" and str(sources.parent) not in json.dumps(report)
    first, second = "def first(value):", "return second_value(value)"
    for arm in ("none", "text"):
        measured = report["arms"][arm]
        # Each key, the new line, and no key for what the stub offers last: the rest of the second line.
        n_requests = len(first) + 1 + len(second) - len("value)") + 1
        assert sum(measured["sources"].values()) == n_requests
        assert measured["share_accepted"] == round(len("value)") / len(first + second), 4)
        assert measured["all"]["n"] == n_requests - measured["sources"]["refused"]
        assert measured["generated"]["n"] == measured["sources"]["generated"]
        assert measured["share_stored"] == round(measured["sources"]["exact"] / measured["all"]["n"], 4)
        assert measured["prefilled"] == {"p50": 5.0, "p95": 5.0} and measured["tokens_a_pass"] == 2.5
        assert 0 < measured["generated"]["p50_ms"] <= measured["generated"]["p95_ms"]
        assert measured["stop"] == {"n": 2, "p50_ms": 2.0, "p95_ms": 2.9, "max_ms": 3.0}
    ratio = report["ratio_to_none"]
    assert ratio["none"] == {"p50_ms": 1.0, "p95_ms": 1.0} and ratio["text"]["p50_ms"] > 0


class OneKeyEditor:
    """Notes when it is told what; nothing is offered."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, float]] = []

    def open(self, path: Path, text: str, language: str) -> str:
        self._note("open")
        return path.as_uri()

    def insert(self, uri: str, line: int, character: int, text: str) -> None:
        self._note("key")

    def close(self, uri: str) -> None:
        self._note("close")

    async def inline_complete(self, uri: str, line: int, character: int, invoked: bool) -> list[str]:
        return []

    async def command(self, name: str) -> None:
        return None

    def _note(self, what: str) -> None:
        self.noted.append((what, asyncio.get_running_loop().time()))


async def test_a_file_is_open_for_a_while_before_the_first_key() -> None:
    editor, passage = OneKeyEditor(), Passage(Path("/a.py"), "python", "", ("ab",), "")
    await type_passage(editor, passage, Pace(0.0, 0.0, open_s=0.05), Replay())  # type: ignore[arg-type]
    assert [what for what, _ in editor.noted] == ["open", "key", "key", "close"]
    assert editor.noted[1][1] - editor.noted[0][1] >= 0.05


def test_an_answer_without_a_new_explanation_was_refused() -> None:
    old = {"source": "generated", "timings": {"total_ms": 1.0}}
    assert reply_of(3.0, False, old, old) == Reply(3.0, "refused", False)
    assert reply_of(3.0, False, old, None) == Reply(3.0, "refused", False)
    new = {"source": "exact", "timings": {"total_ms": 2.0}, "n_prefilled": 4, "n_decoded": 2, "n_forwards": 1}
    assert reply_of(3.0, True, old, new) == Reply(3.0, "exact", True, {"total_ms": 2.0}, 4, 2, 1)


def test_each_arm_is_asked_of_the_server_by_its_settings() -> None:
    options = {"model": {"name": "m"}, "context": {"hits": 3}}
    assert latency.options_of("text+memory", options) == {
        "model": {"name": "m"},
        "context": {"hits": 3, "mode": "text", "memory": True, "least_shared": 0, "open_file_tokens": 0},
    }
    dense = {"hits": 3, "mode": "dense", "memory": False, "least_shared": 35, "pseudo_tokens": 64}
    dense["open_file_tokens"] = ContextSettings.open_file_tokens
    assert latency.options_of("dense:64+sure+read", options)["context"] == dense
    none = {"hits": 3, "mode": "none", "memory": False, "least_shared": 0, "open_file_tokens": 0}
    assert latency.options_of("none", options)["context"] == none
    assert latency.options_of("auto", options) == options


@pytest.mark.parametrize("arm", ["random", "iterative", "leaves", "text+plain"])
def test_an_arm_that_no_setting_makes_is_refused(arm: str) -> None:
    with pytest.raises(UnknownArm, match=r"the server knows no arm .* it has none, text, dense"):
        latency.options_of(arm, {})


async def test_a_server_that_does_not_get_ready_is_told(sources: Path) -> None:
    plan = latency.LatencyPlan(
        workspace=sources, arms=("none",), n_lines=1, options={"stub": "error"}, command=STUB
    )
    with pytest.raises(ServerNotReady, match="the server is error: no model"):
        await latency.measure_latency(plan)


async def test_a_folder_without_passages_is_told(tmp_path: Path) -> None:
    with pytest.raises(latency.NothingToType, match="has 3 lines of code in a row"):
        await latency.measure_latency(latency.LatencyPlan(workspace=tmp_path))


def test_tables_show_every_arm_and_stage() -> None:
    replies = [
        Reply(10.0, "generated", True, {"decode_ms": 7.0, "total_ms": 9.0}, 5, 6, 3),
        Reply(1.0, "typed-through", True, {"total_ms": 0.1}),
        Reply(0.5, "refused", False),
    ]
    arms = {}
    for arm in ("none", "text"):
        arms[arm] = latency.summary_of(Replay(replies, n_characters=4, n_accepted=1))
        arms[arm]["stop"] = {"p50_ms": 3.0, "p95_ms": 4.0}
    report = {
        "workspace": "w",
        "machine": {"device_name": "m"},
        "arms": arms,
        "ratio_to_none": latency.ratios(arms, "none"),
    }
    shown = printed(latency_table(report), stages_table(report))
    for word in ("none", "text", "50%", "25%", "10.0", "1.00x", "decode", "7.0 / 7.0", "2.00", "3.0 / 4.0"):
        assert word in shown
    assert latency.ratios({"text": arms["text"]}, "none") == {}


async def test_growing_workspaces_are_typed_in_alike(sources: Path) -> None:
    typing = latency.LatencyPlan(workspace=Path(), n_files=1, n_lines=2, pace=HURRIED, command=STUB)
    report = await measure_scale(ScalePlan((2, 9), typing, sources))
    small, large = report["sizes"]
    assert (small["lines"], large["lines"]) == (2, 9)
    assert small["all"]["n"] == large["all"]["n"] > 20
    ratio = report["ratio_to_smallest"]
    assert ratio[0] == {"all": 1.0, "generated": 1.0, "stored": 1.0} and ratio[1]["all"] > 0
    assert str(sources.parent) not in json.dumps(report)
    shown = printed(scale_table(report))
    assert "1.00x" in shown and "text+memory" in shown


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


async def test_a_soak_types_saves_and_leaves_the_workspace_as_it_was(sources: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in sources.rglob("*.py")}
    options = latency.options_of("text+memory", {})
    plan = SoakPlan(
        workspace=sources, minutes=0.06, n_lines=1, pace=Pace(1, 1), options=options, command=STUB
    )
    report = await measure_soak(plan)
    assert report["requests"] > 10 and report["mib_at_end"] > 1 and report["memory_ratio"] > 0
    assert {path: path.read_bytes() for path in sources.rglob("*.py")} == before
    assert "resident MiB" in printed(soak_table(report))


def test_a_soak_compares_the_last_quarter_with_the_first_after_the_warm_up() -> None:
    replay = Replay([Reply(ms, "generated", True) for ms in (900, 10, 10, 10, 20)])
    sizes = (100, 70, 70, 70, 110)
    samples = [Sample(20.0 * n, size << 20, 4, 9, n) for n, size in enumerate(sizes, 1)]
    report = figures_of(replay, samples)
    assert (report["first_quarter"]["n"], report["first_quarter"]["max_ms"]) == (2, 900.0)
    assert (report["last_quarter"]["n"], report["last_quarter"]["max_ms"]) == (2, 20.0)
    assert (report["mib_after_warm_up"], report["mib_at_end"], report["memory_ratio"]) == (100.0, 110.0, 1.1)

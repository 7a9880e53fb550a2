"""Benchmarks from their files to figures; no arm can see what it is asked for."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeEmbedder, FakeGenerator, fake_bundle

from hef_lsp.evaluation.arms import arm_of
from hef_lsp.evaluation.on_demand import Strangers
from hef_lsp.evaluation.report import report_of
from hef_lsp.evaluation.runner import ArmResult, RunPlan, run_rows
from indexer.index import IndexView
from indexer.retriever import Hit, Query, Retriever
from model.evaluation.benchmarks import BENCHMARKS, BenchmarkRow, NoBenchmark, load_rows, unpack_sources
from model.protocols import CancelSignal, Generation, Prompt, StopRule

SECRET = "the_hidden_target_name"
SOURCE = f"import shapes\n\n\ndef show(box):\n    value = {SECRET}(box)\n    return {SECRET}_after(value)\n"
SHAPES = (
    "def area(box):\n    return box.width * box.height\n\n\n"
    "def volume(box):\n    return area(box) * box.depth\n"
)
OTHER = "def unrelated(thing):\n    return thing\n" * 8
ARMS = (
    "none",
    "text",
    "dense",
    "none+memory",
    "text+memory",
    "dense+memory",
    "leaves",
    "iterative",
    "iterative+memory",
    "graph",
    "random",
    "text:64",
    "text+plain",
    "leaves+sure",
)


def plan_of(bundle: Any, *arms: str, **rest: Any) -> RunPlan:
    return RunPlan([arm_of(name) for name in arms], bundle, lambda: bundle, **rest)


def write_benchmark(data: Path) -> None:
    half = data / "repoeval" / "dev"
    half.mkdir(parents=True)
    with tarfile.open(half / "sources.tar.xz", "w:xz") as tar:
        for name, text in (
            ("level/demo/app.py", SOURCE),
            ("level/demo/shapes.py", SHAPES),
            ("level/other/thing.py", OTHER),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    rows = [
        {
            "metadata": {
                "task_id": f"demo/{number}",
                "fpath_tuple": ["demo", "app.py"],
                "line_no": 4,
                "ground_truth": f"    value = {SECRET}(box)",
            }
        }
        for number in range(5)
    ]
    with gzip.open(half / "line_level.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_benchmark(tmp_path / "data")
    return tmp_path / "data"


def loaded(data: Path, tmp_path: Path, limit: int | None = 2) -> tuple[Path, list[BenchmarkRow]]:
    benchmark = BENCHMARKS["repoeval-line"]
    sources = unpack_sources(data, benchmark, tmp_path)
    return sources, load_rows(data, benchmark, sources, limit, seed=0)


def test_a_row_is_cut_at_its_target(data: Path, tmp_path: Path) -> None:
    _, rows = loaded(data, tmp_path)
    assert rows[0].prefix == "import shapes\n\n\ndef show(box):\n"
    assert SECRET not in rows[0].prefix
    assert (rows[0].repository, rows[0].path) == ("level/demo", "app.py")


def test_a_smaller_limit_gives_the_first_of_the_same_rows(data: Path, tmp_path: Path) -> None:
    assert loaded(data, tmp_path, None)[1][:2] == loaded(data, tmp_path, 2)[1]


class Spy(FakeGenerator):
    """Keeps whatever reaches the generator, and what its memory could ever say."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def generate(
        self,
        prompt: Prompt,
        rule: StopRule,
        cancel: CancelSignal,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        self.seen.append(self.tokenizer.decode(list(prompt.token_ids)))
        if prompt.memory is not None:
            sources: Sequence[Any] = prompt.memory._sources  # type: ignore[attr-defined]
            for source in sources:
                for number, alive in enumerate(source.alive):
                    ids = source.segment.tokens_of(number) if alive else []
                    self.seen.append(self.tokenizer.decode([int(i) for i in ids]))
        return super().generate(prompt, rule, cancel, on_text)


def test_no_arm_can_see_the_target_or_what_follows(data: Path, tmp_path: Path) -> None:
    sources, rows = loaded(data, tmp_path)
    spy = Spy()
    bundle = fake_bundle(spy)
    encoded: list[str] = []
    fuser_encode = bundle.fuser.encode  # type: ignore[union-attr]

    def encode(texts: Sequence[str], _: object = None) -> Any:
        encoded.extend(texts)
        return fuser_encode(texts)

    bundle.fuser.encode = encode  # type: ignore[union-attr, method-assign]
    results = list(run_rows(rows, sources, plan_of(bundle, *ARMS)))
    assert len(results) == len(rows) * len(ARMS)
    assert any("area" in text for text in spy.seen)
    assert all(SECRET not in text for text in spy.seen)
    # The file is whole again between rows; what is fused while a row runs is its masked form.
    assert any("area" in text for text in encoded)
    assert all(SECRET not in text for text in encoded)


def test_what_is_done_is_not_run_again(data: Path, tmp_path: Path) -> None:
    sources, rows = loaded(data, tmp_path)
    bundle = fake_bundle(FakeGenerator())
    done = frozenset({(rows[0].task_id, "none")})
    results = run_rows(rows, sources, plan_of(bundle, "none", "text", done=done))
    assert len([*results]) == 3


@pytest.mark.parametrize("kind", ["random", "adversarial"])
def test_strange_arms_read_vectors_of_another_repository(data: Path, tmp_path: Path, kind: str) -> None:
    sources, rows = loaded(data, tmp_path, 1)
    bundle = fake_bundle(FakeGenerator())
    fused: list[str] = []
    told: list[Any] = []
    encode, project = bundle.fuser.encode, bundle.projector.project  # type: ignore[union-attr]
    bundle.fuser.encode = lambda texts, _=None: fused.extend(texts) or encode(texts)  # type: ignore
    bundle.projector.project = lambda vectors, *rest: told.append(vectors) or project(vectors, *rest)  # type: ignore
    list(run_rows(rows, sources, plan_of(bundle, "leaves", kind)))
    strangers = encode([text for text in fused if "unrelated" in text])
    of_leaves, of_strangers = told
    assert len(strangers) and len(of_strangers)
    assert all(any((row == other).all() for other in strangers) for row in of_strangers)
    assert not any(any((row == other).all() for other in strangers) for row in of_leaves)


def test_of_strangers_the_likest_are_found_and_some_are_from_all_over() -> None:
    texts = [f"def number_{number}(): return {number}" for number in range(100)]
    strangers = Strangers(texts, FakeEmbedder())
    assert strangers.likest([texts[70], texts[3]]) == [texts[70], texts[3]]
    some = strangers.some(10)
    assert len(some) == 10 and some[0] == texts[0] and some[-1] == texts[90]


def test_without_a_second_repository_there_are_no_strangers(data: Path, tmp_path: Path) -> None:
    sources, rows = loaded(data, tmp_path, 1)
    shutil.rmtree(sources / "level" / "other")
    with pytest.raises(NoBenchmark, match="no second repository"):
        list(run_rows(rows, sources, plan_of(fake_bundle(FakeGenerator()), "random")))


def test_a_plain_arm_asks_the_plain_generator(data: Path, tmp_path: Path) -> None:
    sources, rows = loaded(data, tmp_path, 1)
    usual, plain = fake_bundle(FakeGenerator(["usual"])), fake_bundle(FakeGenerator(["plain"]))
    arms = [arm_of("none"), arm_of("none+plain")]
    results = run_rows(rows, sources, RunPlan(arms, usual, lambda: plain))  # type: ignore[arg-type,return-value]
    assert [result.prediction for result in results] == ["usual", "plain"]


def test_the_next_key_is_timed_where_it_is_asked_for(data: Path, tmp_path: Path) -> None:
    sources, rows = loaded(data, tmp_path, 1)
    cold, warm = FakeGenerator(), FakeGenerator()
    (result,) = run_rows(rows, sources, plan_of(fake_bundle(cold), "none"))
    assert result.warm_ms == 0.0 and len(cold.calls) == 1
    (result,) = run_rows(rows, sources, plan_of(fake_bundle(warm), "none", warm=True))
    assert result.warm_ms > 0.0 and len(warm.calls) == 2
    assert result.n_chunks > 0 and not result.copied


def test_missing_and_damaged_files_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NoBenchmark, match="neither dev nor heldout"):
        unpack_sources(tmp_path / "nowhere", BENCHMARKS["repoeval-line"], tmp_path)
    sources, _ = loaded(data, tmp_path)
    with pytest.raises(NoBenchmark, match="cannot be read"):
        load_rows(data, BENCHMARKS["repoeval-api"], sources, None, 0)
    (data / "repoeval" / "dev" / "sources.tar.xz").write_bytes(b"no archive")
    with pytest.raises(NoBenchmark, match="cannot be unpacked"):
        unpack_sources(data, BENCHMARKS["repoeval-line"], tmp_path / "other")


def test_two_processes_may_unpack_at_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one ends while this one unpacks, as two shards of one evaluation did."""
    benchmark, into, extract = BENCHMARKS["repoeval-line"], tmp_path / "into", tarfile.TarFile.extractall

    def interrupted(tar: tarfile.TarFile, path: Path, **options: Any) -> None:
        extract(tar, path, **options)
        monkeypatch.setattr(tarfile.TarFile, "extractall", extract)
        unpack_sources(data, benchmark, into)

    monkeypatch.setattr(tarfile.TarFile, "extractall", interrupted)
    sources = unpack_sources(data, benchmark, into)
    assert (sources / "level/demo/app.py").read_text() == SOURCE
    assert list(into.iterdir()) == [sources]


def test_an_archive_cannot_write_outside_its_folder(data: Path, tmp_path: Path) -> None:
    archive = data / "repoeval" / "dev" / "sources.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped.py"))
    with pytest.raises(NoBenchmark, match="cannot be unpacked"):
        unpack_sources(data, BENCHMARKS["repoeval-line"], tmp_path / "into")
    assert not list(tmp_path.rglob("escaped.py"))


def test_figures_and_differences(data: Path, tmp_path: Path) -> None:
    _, rows = loaded(data, tmp_path)
    right = rows[0].target
    results = [
        ArmResult(rows[0].task_id, "none", "x = 1", 10.0),
        ArmResult(rows[1].task_id, "none", right, 30.0),
        ArmResult(rows[0].task_id, "text", right, 20.0),
        ArmResult(rows[1].task_id, "text", right, 20.0),
    ]
    report = report_of(BENCHMARKS["repoeval-line"].scorer, rows, results, ("none", "text"))
    assert report["arms"]["none"]["em"] == 0.5
    assert report["arms"]["text"]["em"] == 1.0
    assert report["arms"]["none"]["n"] == 2
    assert report["arms"]["none"]["latency_ms"]["p50"] == 20.0
    assert report["differences"]["text - none"]["em"]["value"] == 0.5


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[Query]:
    """What the arms' searches are asked."""
    asked: list[Query] = []

    class Noting(Retriever):
        def retrieve(self, view: IndexView, query: Query) -> list[Hit]:
            asked.append(query)
            return super().retrieve(view, query)

    monkeypatch.setattr("hef_lsp.evaluation.runner.Retriever", Noting)
    return asked


def test_the_second_round_searches_by_the_first_answer(
    data: Path, tmp_path: Path, queries: list[Query]
) -> None:
    sources, rows = loaded(data, tmp_path, 1)
    bundle = fake_bundle(FakeGenerator(["volume(box)"]))
    (result,) = run_rows(rows, sources, plan_of(bundle, "iterative"))
    assert result.prediction == "volume(box)" and result.arm == "iterative"
    first, second = (query.text for query in queries)
    assert second == first + "volume(box)"
    list(run_rows(rows, sources, plan_of(bundle, "text")))
    assert len(queries) == 3


def test_leaves_are_chunks_alone(data: Path, tmp_path: Path, queries: list[Query]) -> None:
    sources, rows = loaded(data, tmp_path, 1)
    bundle = fake_bundle(FakeGenerator())
    list(run_rows(rows, sources, plan_of(bundle, "dense", "leaves")))
    assert [query.ancestors for query in queries] == [True, False]
    assert [call.prompt.pseudo_tokens is not None for call in bundle.generator.calls] == [True, True]

"""The rivals are asked at the same cursors, the second round by the first one's answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from engine_rig import FakeView, chunk_hit
from fakes import FakeGenerator, fake_bundle
from tiny_models import load_tiny_model, save_tiny_model

from hef_lsp.bench import rivals
from hef_lsp.bench.llama_cpp import LlamaCpp, NoLlamaCpp
from hef_lsp.bench.rivals import RivalUnavailable, measure_rivals, ratios_to_rivals
from hef_lsp.bench.source_lines import passages_to_type
from hef_lsp.scheduling import InferenceLane
from hef_lsp.settings import Settings
from indexer.retriever import Hit, Query
from model.generator import HfGenerator
from model.protocols import Generation, Prompt, StopReason


@dataclass
class Folder:
    waited: bool = False

    def wait_idle(self, timeout_s: float | None) -> None:
        self.waited = True

    def view(self) -> FakeView:
        return FakeView([chunk_hit("lib.py", "def area(box): ...")])


@dataclass
class Searches:
    queries: list[Query] = field(default_factory=list)

    def retrieve(self, view: FakeView, query: Query) -> list[Hit]:
        self.queries.append(query)
        return view.hits


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    made = Searches()
    monkeypatch.setattr(rivals, "Retriever", lambda embedder: made)
    return made


def use_session(monkeypatch: pytest.MonkeyPatch, root: Path, generator: object) -> dict[str, object]:
    seen: dict[str, object] = {}

    @contextmanager
    def session(workspace: Path, settings: Settings, **_: object) -> Iterator[SimpleNamespace]:
        lane = InferenceLane()
        seen["settings"] = settings
        bundle = fake_bundle(generator)  # type: ignore[arg-type]
        try:
            yield SimpleNamespace(root=root, settings=settings, lane=lane, folder=Folder(), models=bundle)
        finally:
            lane.close()

    monkeypatch.setattr(rivals, "local_session", session)
    return seen


def test_each_cursor_is_asked_once_and_then_guided_by_the_answer(
    tmp_path: Path, searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("import os\n\ndef first(value):\n    return second(value)\n\n")
    generator = HfGenerator(load_tiny_model(tmp_path / "tiny"))
    monkeypatch.setattr(
        rivals.PlainGenerator,
        "generate",
        lambda self, prompt, rule, cancel, on_text=None: _said(prompt),
    )
    seen = use_session(monkeypatch, tmp_path, generator)
    (passage,) = passages_to_type(tmp_path, 1, 2, seed=0)
    report = measure_rivals(tmp_path, [passage], {"name": "tiny"}, lambda _: None)
    assert report["generate"]["n"] == report["repocoder"]["n"] == 4
    assert report["repocoder"]["p50_ms"] >= report["generate"]["p50_ms"] > 0
    settings = seen["settings"]
    assert isinstance(settings, Settings) and settings.model.name == "tiny" and not settings.context.memory
    texts = [query.text for query in searches.queries]
    assert len(texts) == 8
    for first, second in zip(texts[::2], texts[1::2], strict=True):
        assert second == first + "box_of(value)"


def _said(prompt: Prompt) -> Generation:
    return Generation("box_of(value)", StopReason.LINE)


def test_a_model_of_another_kind_is_told(
    tmp_path: Path, searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_session(monkeypatch, tmp_path, FakeGenerator())
    with pytest.raises(RivalUnavailable, match="is not run by transformers"):
        measure_rivals(tmp_path, [], {}, lambda _: None)


def test_ratios_are_ours_to_theirs() -> None:
    arms = {"text": {"all": {"p50_ms": 2.0}, "generated": {"p50_ms": 200.0}}}
    assert ratios_to_rivals(arms, {"generate": {"p50_ms": 1000.0}, "none": {"p50_ms": 0.0}}) == {
        "text": {"all_to_generate": 0.002, "generated_to_generate": 0.2}
    }


FAKE_NODE = """#!{python}
import json, sys
if "broken" in sys.argv[2]:
    sys.exit(1)
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["n"] == 0:
        sys.exit(1)
    answer = {{"prefill_ms": len(asked["ids"]), "decode_ms": 2 * asked["n"]}}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the package, and a node that answers by rote."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "node"
    program.write_text(FAKE_NODE.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    (tmp_path / "npm" / "node_modules" / "node-llama-cpp").mkdir(parents=True)
    return tmp_path / "npm"


def test_llama_cpp_is_asked_over_its_lines(node: Path) -> None:
    llama = LlamaCpp(node, Path("model.gguf"), 2)
    try:
        assert llama.times_ms([1, 2, 3], 4) == (3.0, 8.0)
        with pytest.raises(NoLlamaCpp, match="ended in the middle"):
            llama.times_ms([1], 0)
    finally:
        llama.close()


def test_without_llama_cpp_it_is_said_what_to_do(node: Path, tmp_path: Path) -> None:
    with pytest.raises(NoLlamaCpp, match="npm install node-llama-cpp"):
        LlamaCpp(tmp_path, Path("model.gguf"), 2)
    with pytest.raises(NoLlamaCpp, match=r"did not start with broken\.gguf"):
        LlamaCpp(node, Path("broken.gguf"), 2)


def test_llama_cpp_reads_files_of_its_own_kind_only(
    tmp_path: Path, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_session(monkeypatch, tmp_path, FakeGenerator())
    save_tiny_model(tmp_path / "folder")
    with pytest.raises(RivalUnavailable, match="is no GGUF file"):
        measure_rivals(tmp_path, [], {"name": str(tmp_path / "folder")}, lambda _: None, node)

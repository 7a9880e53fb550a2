"""The engine over a real index of a small workspace: retrieval, pseudo-tokens, what an edit makes stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from engine_rig import request_at, settings_with
from fakes import FakeBundle, FakeGenerator, compute_here, fake_bundle, inducing

from hef_lsp.engine import CompletionEngine
from hef_lsp.request import CompletionRequest
from hef_lsp.settings import ContextMode
from indexer.index import Index, IndexModels, IndexView
from indexer.source_files import FileChange, SourceTree
from model.exact_memory import ExactMemory
from model.protocols import CancelSignal, Generation, NeverCancelled, Prompt, StopRule

GO = NeverCancelled()
CONFIG = "def load_config(path, strict):\n    return parse(path, strict)\n"
WIDGET = "class Widget:\n    colour = 3\n\n    def paint(self, canvas):\n        canvas.fill(self.colour)\n"
FILES = {
    "lib/config.py": CONFIG,
    "lib/widget.py": WIDGET,
    "app.py": "import os\n\ncfg = 1\n",
}


class MemorySpy(FakeGenerator):
    """Keeps the memories that it was given."""

    def __init__(self) -> None:
        super().__init__(inducing())
        self.memories: list[ExactMemory | None] = []

    def generate(
        self,
        prompt: Prompt,
        rule: StopRule,
        cancel: CancelSignal,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        self.memories.append(prompt.memory)
        return super().generate(prompt, rule, cancel, on_text)


@dataclass
class Workspace:
    root: Path
    index: Index
    bundle: FakeBundle
    engine: CompletionEngine
    mode: ContextMode = ContextMode.TEXT

    def view(self, _: CompletionRequest) -> IndexView:
        return self.index.view()

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text, encoding="utf-8")
        self.index.updater.apply([FileChange(path)])


@contextmanager
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    root = tmp_path / "work"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    bundle = fake_bundle(MemorySpy())
    models = IndexModels(
        bundle.embedder, bundle.fuser, bundle.count_tokens, bundle.tokenizer_id, bundle.encode
    )
    tree = SourceTree(root, (), 1000, 1 << 20)
    index = Index.open(tmp_path / "index", tree, models, compute_here, 1 << 40, 1 << 28)
    made: Workspace
    engine = CompletionEngine(bundle, lambda r: made.view(r), lambda: settings_with(made.mode))
    made = Workspace(root, index, bundle, engine)
    try:
        index.updater.scan()
        yield made
    finally:
        index.close()


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workspace]:
    with workspace(tmp_path) as made:
        yield made


def test_code_of_another_file_completes_this_one(work: Workspace) -> None:
    (suggestion,) = work.engine.complete(request_at("import os\n\ncfg = load_config(║\n"), GO)
    assert suggestion.text == "path, strict):"
    explanation = work.engine.last_explanation
    assert explanation is not None and explanation.mode == "text"
    assert explanation.hits[0].path == "lib/config.py" and explanation.hits[0].used


def test_the_edited_region_never_retrieves_itself(work: Workspace) -> None:
    work.engine.complete(request_at("import os\n\ncfg = load_config(║\n"), GO)
    explanation = work.engine.last_explanation
    assert explanation is not None
    assert "app.py" not in {hit.path for hit in explanation.hits}


def test_an_edit_of_what_was_retrieved_makes_the_suggestion_stale(work: Workspace) -> None:
    request = request_at("import os\n\ncfg = load_config(║\n")
    work.engine.complete(request, GO)
    assert work.engine.lookup(request) is not None
    work.write("lib/other.py", "unrelated = 1\n")
    assert work.engine.lookup(request) is not None, "an edit elsewhere ends nothing"
    work.write("lib/config.py", "\n\n\n" + CONFIG)
    assert work.engine.lookup(request) is not None, "code that only moved is the same code"
    work.write("lib/config.py", CONFIG.replace("strict", "lenient"))
    assert work.engine.lookup(request) is None
    (suggestion,) = work.engine.complete(request, GO)
    assert suggestion.text == "path, lenient):"


def test_dense_waits_for_fusing_and_says_so(work: Workspace) -> None:
    work.mode = ContextMode.DENSE
    request = request_at("import os\n\ncfg = load_config(║\n", invoked=True)
    work.engine.complete(request, GO)
    before = work.engine.last_explanation
    assert before is not None and before.mode == "text" and "fused yet" in before.notes[0]
    work.index.updater.fuse_pending()
    work.engine.complete(request_at("import os\n\ncfg = load_config(║\n\n", invoked=True), GO)
    after = work.engine.last_explanation
    assert after is not None and (after.mode, after.notes) == ("dense", ())
    prompt = work.bundle.generator.calls[-1].prompt
    assert prompt.pseudo_tokens is not None
    assert len(prompt.pseudo_tokens) == after.n_pseudo_tokens > 0
    assert "strict" not in work.bundle.generator.calls[-1].prompt_text


def test_a_closed_index_costs_the_context_only(work: Workspace) -> None:
    work.index.close()
    work.engine.complete(request_at("import os\n\ncfg = load_config(║\n"), GO)
    explanation = work.engine.last_explanation
    assert explanation is not None
    assert explanation.mode == "none"
    assert explanation.notes == ("no context: the search in the index failed",)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_generator_is_given_the_memory_of_other_files_unless_turned_off(
    tmp_path: Path, wanted: bool
) -> None:
    with workspace(tmp_path) as work:
        work.index.updater.remember(work.index.view())
        spy = work.bundle.generator
        assert isinstance(spy, MemorySpy)
        settings = settings_with(ContextMode.NONE)
        settings = replace(settings, context=replace(settings.context, memory=wanted))
        engine = CompletionEngine(work.bundle, work.view, lambda: settings)
        engine.complete(request_at("import os\n\ncfg = load_config(║\n"), GO)
        (memory,) = spy.memories
        if not wanted:
            assert memory is None
            return
        assert memory is not None
        match, *_ = memory.matches(spy.tokenizer.encode("def load_config(path"))
        assert spy.tokenizer.decode(match.candidates[0].ahead).startswith(", strict):")

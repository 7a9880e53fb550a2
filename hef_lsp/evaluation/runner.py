"""Benchmark rows through the product's own engine: index, retrieval, memory, prompt, decoding, filters.

Owns the masked workspace and the order of the runs. The target file enters the index only up to the cursor,
before anything is retrieved or remembered; arms alternate row by row, so that a noisy machine disturbs all
alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from hef_lsp.context import Retrieves
from hef_lsp.documents import DocumentSnapshot
from hef_lsp.engine import CompletionEngine
from hef_lsp.evaluation.arms import CHUNKS_ALONE, GRAPH, RANDOM, STRANGE, Arm
from hef_lsp.evaluation.graph import GraphRetriever
from hef_lsp.evaluation.guided import GuidedRetriever, LeavesOnly, WithoutTexts
from hef_lsp.evaluation.on_demand import LookalikeView, Made, OnDemandView, Strangers, StrangeView
from hef_lsp.evaluation.subsets import KnownLines
from hef_lsp.open_text import open_text_of
from hef_lsp.request import CompletionRequest
from hef_lsp.scratch_index import scratch_index
from indexer.index import Index
from indexer.retriever import Retriever
from indexer.source_files import FileChange
from model.evaluation.benchmarks import BenchmarkRow, NoBenchmark
from model.protocols import Embedder, Generator, NeverCancelled

if TYPE_CHECKING:
    from indexer.index import IndexView
    from model.bundle import ModelBundle

TOKENS_READ = 1536
"""Of a row's file, three quarters of them before the cursor, for arms whose file is read beforehand: what a
window can hold, and something before it. Not counted, as memories are not."""


@dataclass(frozen=True)
class ArmResult:
    """What one arm said to one row, and how long the engine took, from request to answer.

    `warm_ms` is the time of the next key's answer, 0.0 if it was not asked for; `copied` says that the target
    stands elsewhere, `n_chunks` how large the repository is.
    """

    task_id: str
    arm: str
    prediction: str
    latency_ms: float
    warm_ms: float = 0.0
    copied: bool = False
    n_chunks: int = 0


@dataclass(frozen=True)
class RunPlan:
    """`plain` gives the models of arms without the adapter; `done` are the rows and arms to leave out."""

    arms: Sequence[Arm]
    models: ModelBundle
    plain: Callable[[], ModelBundle]
    with_suffix: bool = False
    warm: bool = False
    done: frozenset[tuple[str, str]] = frozenset()

    def todo(self, row: BenchmarkRow) -> list[Arm]:
        """The arms left for a row."""
        return [arm for arm in self.arms if (row.task_id, arm.name) not in self.done]


def run_rows(rows: Sequence[BenchmarkRow], sources: Path, plan: RunPlan) -> Iterator[ArmResult]:
    """All rows by repository, each in all arms but those already done. Raises NoBenchmark."""
    ordered = sorted(rows, key=lambda row: (row.repository, row.task_id))
    for repository, group in groupby(ordered, key=lambda row: row.repository):
        left = [(row, todo) for row in group if (todo := plan.todo(row))]
        if not left:
            continue
        kinds = {arm.kind for _, todo in left for arm in todo}
        strangers = _strangers(repository, sources, plan.models) if kinds & STRANGE else None
        made = Made(plan.models.fuser) if plan.models.fuser is not None else None
        with scratch_index(sources / repository, plan.models, search_only=False) as index:
            view = index.view()
            texts = ((path, chunk.text) for path in view.files for chunk in view.file_chunks(path))
            desk = _Desk(index, plan, KnownLines(texts), made, strangers)
            for row, todo in left:
                yield from desk.answers(row, todo)


def _strangers(repository: str, sources: Path, models: ModelBundle) -> Strangers:
    """The chunks of the repository that follows in the folder of sources. Raises NoBenchmark."""
    folder = (sources / repository).parent
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    after = names.index(Path(repository).name) + 1
    for name in (names[after:] + names[:after])[:-1]:
        with scratch_index(folder / name, models) as other:
            view = other.view()
            texts = [chunk.text for path in sorted(view.files) for chunk in view.file_chunks(path)]
        if models.fuser is not None and texts:
            return Strangers(texts, models.embedder)
    arms = " or ".join(sorted(STRANGE))
    raise NoBenchmark(f"{folder} holds no second repository, or the models no fuser, for an arm {arms}")


@dataclass(frozen=True)
class _Desk:
    """One repository, row after row."""

    index: Index
    plan: RunPlan
    known: KnownLines
    made: Made | None
    strangers: Strangers | None

    def answers(self, row: BenchmarkRow, arms: Sequence[Arm]) -> Iterator[ArmResult]:
        """The file is masked in the index while its row runs, and put back after it."""
        text = row.prefix + (row.suffix if self.plan.with_suffix else "")
        updater = self.index.updater
        updater.apply([FileChange(row.path, text=text)])
        try:
            updater.remember(self.index.view())
            view, copied = self.index.view(), self.known.has_target_of(row)
            n_chunks = sum(len(facts.spans) for facts in view.files.values())
            for arm in arms:
                said = self._answer(row, text, arm, view)
                yield replace(said, copied=copied, n_chunks=n_chunks)
        finally:
            updater.apply([FileChange(row.path)])
            self.plan.models.generator.close_text(_uri_of(row.path))

    def _answer(self, row: BenchmarkRow, text: str, arm: Arm, view: IndexView) -> ArmResult:
        """By fresh engines, whose stores are empty, and with nothing kept of the prompt before."""
        models = self.plan.models
        if arm.plain:
            models = replace(models, generator=self.plan.plain().generator)
        settings = arm.settings(row.is_multiline)
        seen = self._seen(arm, view)
        retriever = GuidedRetriever(_search(arm, models.embedder))
        models.generator.forget()
        if arm.read:
            _read_beforehand(models.generator, self._request(row.path, text, len(row.prefix)))

        def ask(prefix: str, rest: str) -> str:
            engine = CompletionEngine(models, lambda _request: seen, lambda: settings, retriever)
            request = self._request(row.path, prefix + rest, len(prefix))
            suggestions = engine.complete(request, NeverCancelled())
            return suggestions[0].text if suggestions else ""

        rest = text[len(row.prefix) :]
        began_s = self._clock_s()
        for _ in range(arm.n_rounds):
            retriever.answer = ask(row.prefix, rest)
        elapsed_ms = (self._clock_s() - began_s) * 1000
        answer, warm_ms = retriever.answer, 0.0
        if self.plan.warm:
            began_s = self._clock_s()
            ask(row.prefix + row.target[:1], rest)
            warm_ms = (self._clock_s() - began_s) * 1000
        return ArmResult(row.task_id, arm.name, answer, round(elapsed_ms, 1), round(warm_ms, 1))

    @staticmethod
    def _request(path: str, text: str, offset: int) -> CompletionRequest:
        document = DocumentSnapshot.of(_uri_of(path), 1, "python", text)
        return CompletionRequest(document, path, "/", offset, invoked=True)

    def _seen(self, arm: Arm, view: IndexView) -> IndexView:
        if not arm.is_dense or self.made is None:
            return view
        if arm.kind in STRANGE:
            assert self.strangers is not None, "found for every repository that has such an arm"
            control = StrangeView if arm.kind == RANDOM else LookalikeView
            return control(**vars(view), made=self.made, strangers=self.strangers)
        return OnDemandView(**vars(view), made=self.made)

    def _clock_s(self) -> float:
        """Stands still while memories are made, which an index does beforehand."""
        return time.perf_counter() - (0.0 if self.made is None else self.made.spent_s)


def _uri_of(path: str) -> str:
    return f"file:///{path}"


def _read_beforehand(generator: Generator, request: CompletionRequest) -> None:
    text = open_text_of(request, TOKENS_READ)
    while generator.read_on(text, TOKENS_READ, NeverCancelled()):
        pass


def _search(arm: Arm, embedder: Embedder) -> Retrieves:
    search: Retrieves = GraphRetriever() if arm.kind == GRAPH else Retriever(embedder)
    if arm.kind in CHUNKS_ALONE:
        search = LeavesOnly(search)
    return WithoutTexts(search) if arm.kind in STRANGE else search

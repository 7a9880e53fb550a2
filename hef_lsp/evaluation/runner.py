"""Benchmark rows through the product's own engine: index, retrieval, memory, prompt, decoding, filters.

Owns the masked workspace and the order of the runs. The target file enters the index only up to the cursor,
before anything is retrieved or remembered; arms alternate row by row, so that a noisy machine disturbs all
alike.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hef_lsp.documents import DocumentSnapshot
from hef_lsp.engine import CompletionEngine
from hef_lsp.evaluation.guided import GuidedRetriever
from hef_lsp.request import CompletionRequest
from hef_lsp.settings import CompletionSettings, ContextMode, Settings
from indexer.index import Index, IndexModels
from indexer.retriever import Retriever
from indexer.source_files import FileChange, SourceTree
from model.evaluation.benchmarks import BenchmarkRow
from model.protocols import NeverCancelled

if TYPE_CHECKING:
    from model.bundle import ModelBundle

T = TypeVar("T")
NO_DEADLINE_MS = 120_000
LINE_TOKENS = 64
BLOCK_TOKENS = 256
MOST_FILES = 100_000
LARGEST_FILE_BYTES = 1 << 20
MEMORY_BYTES = 1 << 30
WITH_MEMORY = "+memory"
ITERATIVE = "iterative"
"""Text twice: the second search is guided by what the first round answered."""
MODES = {mode.value: mode for mode in ContextMode if mode is not ContextMode.AUTO} | {
    ITERATIVE: ContextMode.TEXT
}


class UnknownArm(ValueError):
    """An arm that this version cannot run."""


@dataclass(frozen=True)
class ArmResult:
    """What one arm said to one row, and how long the engine took, from request to answer."""

    task_id: str
    arm: str
    prediction: str
    latency_ms: float


def arm_settings(arm: str, base: Settings | None = None) -> Settings:
    """The settings of an arm such as ``none``, ``text+memory``, ``iterative``. Raises UnknownArm."""
    mode, plus, rest = arm.partition("+")
    if mode not in MODES or (plus and rest != "memory"):
        known = ", ".join(f"{name}[{WITH_MEMORY}]" for name in MODES)
        raise UnknownArm(f"there is no arm {arm!r}; known: {known}")
    base = base or Settings()
    return replace(
        base,
        context=replace(base.context, mode=MODES[mode], memory=bool(plus)),
        completion=replace(
            base.completion,
            deadline_ms=NO_DEADLINE_MS,
            max_tokens=LINE_TOKENS,
            max_block_tokens=BLOCK_TOKENS,
        ),
    )


def run_rows(
    rows: Sequence[BenchmarkRow],
    sources: Path,
    models: ModelBundle,
    arms: Sequence[str],
    with_suffix: bool = False,
    done: Callable[[str, str], bool] = lambda _task, _arm: False,
) -> Iterator[ArmResult]:
    """All rows by repository, each in all `arms` but those already `done`; raises UnknownArm first."""
    settings = {arm: arm_settings(arm) for arm in arms}
    ordered = sorted(rows, key=lambda row: (row.repository, row.task_id))
    for repository, group in groupby(ordered, key=lambda row: row.repository):
        left = [(row, [arm for arm in arms if not done(row.task_id, arm)]) for row in group]
        left = [(row, todo) for row, todo in left if todo]
        if not left:
            continue
        fuses = any(arm.startswith("dense") for _, todo in left for arm in todo)
        with tempfile.TemporaryDirectory(prefix="hef-lsp-eval-") as folder:
            index = _open(sources / repository, Path(folder), models, fuses)
            try:
                index.updater.scan()
                for row, todo in left:
                    yield from _run_row(row, todo, settings, index, models, with_suffix)
            finally:
                index.close()


def _open(root: Path, folder: Path, models: ModelBundle, fuses: bool) -> Index:
    tree = SourceTree(root, (), MOST_FILES, LARGEST_FILE_BYTES)
    parts = IndexModels(
        models.embedder, models.fuser, models.count_tokens, models.tokenizer_id, models.encode
    )
    return Index.open(folder, tree, parts, _here, fuses, MEMORY_BYTES)


def _run_row(
    row: BenchmarkRow,
    arms: Sequence[str],
    settings: Mapping[str, Settings],
    index: Index,
    models: ModelBundle,
    with_suffix: bool,
) -> Iterator[ArmResult]:
    """The file is masked in the index while its row runs, and put back after it."""
    text = row.prefix + (row.suffix if with_suffix else "")
    index.updater.apply([FileChange(row.path, text=text)])
    try:
        index.updater.remember(index.view())
        index.updater.fuse_pending()
        for arm in arms:
            yield _answer(row, text, arm, settings[arm], index, models)
    finally:
        index.updater.apply([FileChange(row.path)])


def _answer(
    row: BenchmarkRow, text: str, arm: str, settings: Settings, index: Index, models: ModelBundle
) -> ArmResult:
    """By fresh engines, whose stores are empty, and with nothing kept of the prompt before."""
    chosen = replace(settings, completion=_wanted(settings.completion, row))
    document = DocumentSnapshot.of(f"file:///{row.path}", 1, "python", text)
    request = CompletionRequest(document, row.path, "/", len(row.prefix), invoked=True)
    retriever = GuidedRetriever(Retriever(models.embedder))
    models.generator.forget()
    began_s = time.perf_counter()
    for _ in range(2 if arm.startswith(ITERATIVE) else 1):
        engine = CompletionEngine(models, lambda _request: index.view(), lambda: chosen, retriever)
        suggestions = engine.complete(request, NeverCancelled())
        retriever.answer = suggestions[0].text if suggestions else ""
    elapsed_ms = (time.perf_counter() - began_s) * 1000
    return ArmResult(row.task_id, arm, retriever.answer, round(elapsed_ms, 1))


def _wanted(completion: CompletionSettings, row: BenchmarkRow) -> CompletionSettings:
    return replace(completion, multiline=row.is_multiline)


def _here(job: Callable[[], T], /) -> T:
    return job()

"""What the usual ways would take at the same cursors, on the same machine, in the same run.

- ``generate``: snippets before the code, transformers' own `generate`, every request from the start.
- ``repocoder``: the same twice, the second search by what the first round answered (Zhang et al. 2023).
- ``llama.cpp``: the first of these by llama.cpp, the same prompt and as many tokens, without the search.

All have our index and retrieval and, like us, the model that is loaded once. Owns their measuring.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hef_lsp.bench.figures import Report, Spread
from hef_lsp.bench.llama_cpp import LlamaCpp
from hef_lsp.bench.source_lines import Passage
from hef_lsp.documents import DocumentSnapshot
from hef_lsp.engine import CompletionEngine
from hef_lsp.evaluation.guided import GuidedRetriever
from hef_lsp.local import LocalSession, local_session
from hef_lsp.request import CompletionRequest
from hef_lsp.scheduling import CancellationToken, LanePriority
from hef_lsp.settings import CompletionSettings, ContextMode, ContextSettings, Settings
from indexer.retriever import Retriever
from model.generator import HfGenerator
from model.hardware import describe_hardware
from model.hub import ModelHub, default_cache_dir
from model.plain_generation import PlainGenerator

GENERATE, REPOCODER, LLAMA_CPP = "generate", "repocoder", "llama.cpp"
PATIENT_MS = 120_000
Say = Callable[[str], None]


class RivalUnavailable(Exception):
    """The model is not one that transformers' own modules run."""


def measure_rivals(
    workspace: Path,
    passages: Sequence[Passage],
    model: dict[str, Any],
    say: Say,
    llama_cpp: Path | None = None,
) -> Report:
    """Milliseconds from request to answer, at the beginning and in the middle of each line of `passages`.

    `llama_cpp` is a folder with node-llama-cpp. Raises RivalUnavailable or `llama_cpp.NoLlamaCpp`.
    """
    settings = _settings(model)
    with (
        tempfile.TemporaryDirectory(prefix="hef-lsp-bench-") as cache,
        local_session(workspace, settings, cache_dir=Path(cache), fuse_only_if_read=True) as session,
    ):
        session.folder.wait_idle(None)
        llama = _llama(session, llama_cpp) if llama_cpp is not None else None
        try:
            return session.lane.run(LanePriority.KEYSTROKE, lambda: _measured(session, passages, say, llama))
        finally:
            if llama is not None:
                llama.close()


def _llama(session: LocalSession, folder: Path) -> LlamaCpp:
    hub = ModelHub(default_cache_dir(), offline=True)
    local = hub.resolve(session.settings.model.name, allow_download=False, max_bytes=0)
    if not local.path.is_file():
        raise RivalUnavailable(f"{local.model_id} is no GGUF file, which is what llama.cpp reads")
    return LlamaCpp(folder, local.path, describe_hardware().physical_cores)


def _settings(model: dict[str, Any]) -> Settings:
    base = Settings()
    return replace(
        base,
        model=replace(base.model, **model),
        context=ContextSettings(mode=ContextMode.TEXT, memory=False),
        completion=CompletionSettings(deadline_ms=PATIENT_MS),
    )


def _measured(session: LocalSession, passages: Sequence[Passage], say: Say, llama: LlamaCpp | None) -> Report:
    generator = session.models.generator
    if not isinstance(generator, HfGenerator):
        raise RivalUnavailable(f"{generator.model_id} is not run by transformers; choose another model")
    plain = PlainGenerator(generator)
    models = replace(session.models, generator=plain)
    times_ms: dict[str, list[float]] = {GENERATE: [], REPOCODER: [], LLAMA_CPP: []}
    requests = [request for passage in passages for request in _requests(session, passage)]
    for number, request in enumerate(requests, 1):
        say(f"rivals: request {number} of {len(requests)}")
        retriever = GuidedRetriever(Retriever(session.models.embedder))
        first_ms, retriever.answer = _ask(session, models, request, retriever)
        if llama is not None and plain.last is not None:
            ids, said = plain.last
            times_ms[LLAMA_CPP].append(sum(llama.times_ms(ids, len(said))))
        second_ms, _ = _ask(session, models, request, retriever)
        times_ms[GENERATE].append(first_ms)
        times_ms[REPOCODER].append(first_ms + second_ms)
    return {name: asdict(Spread.of(times)) for name, times in times_ms.items() if times}


def _ask(
    session: LocalSession, models: Any, request: CompletionRequest, retriever: GuidedRetriever
) -> tuple[float, str]:
    """By a fresh engine: nothing is known of the round before but its answer."""
    engine = CompletionEngine(
        models, lambda _: session.folder.view(), lambda: session.settings, retriever=retriever
    )
    began_s = time.perf_counter()
    suggestions = engine.complete(request, CancellationToken())
    elapsed_ms = (time.perf_counter() - began_s) * 1000
    return elapsed_ms, suggestions[0].text if suggestions else ""


def _requests(session: LocalSession, passage: Passage) -> Iterator[CompletionRequest]:
    """Automatic ones: where each line's text begins, and in its middle."""
    before = passage.before
    for line in passage.lines:
        indent = len(line) - len(line.lstrip())
        for end in (indent, (indent + len(line)) // 2):
            text = before + line[:end]
            document = DocumentSnapshot.of(passage.path.as_uri(), 0, passage.language, text + passage.after)
            path = passage.path.relative_to(session.root).as_posix()
            yield CompletionRequest(document, path, str(session.root), len(text))
        before += line + "\n"


def ratios_to_rivals(arms: dict[str, Report], rivals: Report) -> Report:
    """Each arm's p50, of all answers and of generated ones, divided by each rival's."""
    return {
        arm: {
            f"{kind}_to_{name}": round(figures[kind]["p50_ms"] / rival["p50_ms"], 4)
            for name, rival in rivals.items()
            for kind in ("all", "generated")
            if rival["p50_ms"]
        }
        for arm, figures in arms.items()
    }

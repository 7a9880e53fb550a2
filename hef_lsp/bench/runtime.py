"""What reading a prompt and saying a token cost: our runtime beside llama.cpp, same file, same adapter.

Owns the comparison: all racers in turn, round by round, so that a noisy machine disturbs
each alike. No index, no protocol: those are in `hef_lsp.bench.latency`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from hef_lsp.bench.figures import Report
from hef_lsp.bench.llama_cpp import LlamaCpp
from model.adapter_gguf import write_adapter
from model.bundle import NO_CHECKPOINT, adapted, find_checkpoint
from model.checkpoint import Checkpoint
from model.decoding import Inputs
from model.errors import ModelError
from model.loading import LoadedModel, load_language_model
from model.local_files import LocalModel
from model.runtime.compact import Weights, possible_weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.plan import plan_of

N_PROMPT, N_SAID = 512, 24
BASELINE, BASELINE_ADAPTED = "llama.cpp", "llama.cpp, adapter"
Racer = Callable[[Sequence[int]], tuple[float, float]]
"""Reads the prompt, says `N_SAID` tokens; milliseconds of each."""
Say = Callable[[str], None]


class NoRuntime(Exception):
    """The model is not run by our runtime, or is no file that llama.cpp reads."""


@dataclass(frozen=True)
class RuntimePlan:
    """`llama_cpp` is a folder with npm's node-llama-cpp, None to leave it out."""

    local: LocalModel
    checkpoint: str
    threads: int
    llama_cpp: Path | None
    n_rounds: int = 9


def measure_runtime(plan: RuntimePlan, say: Say = lambda _: None) -> Report:
    """Milliseconds by racer, and ratios to llama.cpp's. Raises NoRuntime, ModelError, NoLlamaCpp."""
    if plan.llama_cpp is not None and not plan.local.path.is_file():
        raise NoRuntime(f"{plan.local.model_id} is no GGUF file, which is what llama.cpp reads")
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        racers, ids = _racers(plan, Path(folder), stack)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in racers}
        for number in range(plan.n_rounds):
            say(f"round {number + 1} of {plan.n_rounds}")
            for name, racer in racers.items():
                times[name].append(racer(ids))
    report = {name: _figures(rounds) for name, rounds in times.items()}
    for name, figures in report.items():
        base = report.get(BASELINE_ADAPTED if "adapter" in name else BASELINE)
        if base is not None and base is not figures:
            figures["to_llama_cpp"] = {key: round(figures[key] / base[key], 3) for key in base}
    return report


def _racers(plan: RuntimePlan, folder: Path, stack: ExitStack) -> tuple[dict[str, Racer], list[int]]:
    loaded = load_language_model(plan.local, "cpu", plan.threads)
    reason = FastRuntime.supports(loaded.model)
    if reason is not None:
        raise NoRuntime(f"{loaded.model_id} is not run by our runtime: {reason}")
    racers: dict[str, Racer] = {}
    checkpoint = _checkpoint(plan, loaded)
    if plan.llama_cpp is not None:
        racers |= _llama_cpp(plan, plan.llama_cpp, loaded, checkpoint, folder, stack)
    racers |= _ours(loaded, "")
    if checkpoint is not None:
        again = adapted(load_language_model(plan.local, "cpu", plan.threads), checkpoint)
        racers |= _ours(again, ", adapter")
    text = Path(argparse.__file__).read_text(encoding="utf-8")
    return racers, loaded.tokenizer.encode(text)[2000 : 2000 + N_PROMPT]


def _checkpoint(plan: RuntimePlan, loaded: LoadedModel) -> Checkpoint | None:
    """The checkpoint, if it has an adapter."""
    if plan.checkpoint == NO_CHECKPOINT:
        return None
    name = plan.local.spec.name if plan.local.spec else ""
    try:
        found = find_checkpoint(plan.checkpoint, loaded, name)
    except ModelError:
        if plan.checkpoint != "auto":
            raise
        return None
    return found if found.config.adapter is not None else None


def _llama_cpp(
    plan: RuntimePlan,
    npm_folder: Path,
    loaded: LoadedModel,
    checkpoint: Checkpoint | None,
    folder: Path,
    stack: ExitStack,
) -> dict[str, Racer]:
    adapters: dict[str, Path | None] = {BASELINE: None}
    if checkpoint is not None and checkpoint.config.adapter is not None:
        adapters[BASELINE_ADAPTED] = folder / "adapter.gguf"
        config = loaded.model.config
        heads = config.num_attention_heads, config.num_key_value_heads
        write_adapter(folder / "adapter.gguf", checkpoint.config.adapter, checkpoint.tensors, *heads)
    racers: dict[str, Racer] = {}
    for name, adapter in adapters.items():
        llama = LlamaCpp(npm_folder, plan.local.path, plan.threads, adapter)
        stack.callback(llama.close)
        racers[name] = lambda ids, llama=llama: llama.times_ms(ids, N_SAID)  # type: ignore[misc]
    return racers


def _ours(loaded: LoadedModel, suffix: str) -> dict[str, Racer]:
    runtimes: dict[str, FastRuntime] = {}
    for weights in possible_weights(plan_of(loaded.model, loaded.changes)):
        if weights is Weights.PLAIN:
            continue
        with suppress(ValueError):  # not every processor has kernels for sixteen bits
            runtime = FastRuntime(loaded.model, weights, changes=loaded.changes)
            runtimes[f"{weights.value}{suffix}"] = runtime
    return {name: lambda ids, runtime=runtime: _timed(runtime, ids) for name, runtime in runtimes.items()}  # type: ignore[misc]


def _timed(runtime: FastRuntime, ids: Sequence[int]) -> tuple[float, float]:
    runtime.clear()
    began_s = time.perf_counter()
    logits = runtime.prefill(Inputs((), None, tuple(ids)), lambda: None)
    assert not isinstance(logits, str), "nothing halts it"
    read_s = time.perf_counter()
    for _ in range(N_SAID - 1):
        logits = runtime.step(int(logits.argmax()))
    return (read_s - began_s) * 1000, (time.perf_counter() - read_s) * 1000


def _figures(rounds: Sequence[tuple[float, float]]) -> Report:
    prefill, said = np.array(rounds).T
    token = said / (N_SAID - 1)
    return {
        "prefill_min_ms": round(float(prefill.min()), 1),
        "prefill_p50_ms": round(float(np.median(prefill)), 1),
        "token_min_ms": round(float(token.min()), 2),
        "token_p50_ms": round(float(np.median(token)), 2),
    }


def runtime_table(report: Report) -> Table:
    """One row a racer; what is ours with its ratio to llama.cpp at the same work."""
    table = Table(title=f"reading {N_PROMPT} tokens and saying {N_SAID}, milliseconds: least (median)")
    for column in ("", "prefill", "a token", "prefill to llama.cpp", "a token to llama.cpp"):
        table.add_column(column, justify="right" if column else "left")
    for name, figures in report.items():
        ratio = figures.get("to_llama_cpp", {})
        table.add_row(
            name,
            *(
                f"{figures[f'{kind}_min_ms']:.1f} ({figures[f'{kind}_p50_ms']:.1f})"
                for kind in ("prefill", "token")
            ),
            *(
                f"{ratio[f'{kind}_min_ms']:.2f} ({ratio[f'{kind}_p50_ms']:.2f})" if ratio else ""
                for kind in ("prefill", "token")
            ),
        )
    return table

"""`hef-lsp eval`: benchmarks through the product's own engine, or lines of one's own repository, arm by arm.

Owns presentation and the files written. The runs are `hef_lsp.evaluation.runner` and `own_lines`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hef_lsp.commands.benchmarks import benchmark_of, drawn_rows
from hef_lsp.commands.console import err, fail, named_errors, out, progress_bar, say_fetching, shard_of
from hef_lsp.settings import Memories, ModelSettings

if TYPE_CHECKING:
    from hef_lsp.evaluation.arms import Arm
    from hef_lsp.evaluation.runner import ArmResult

Names = Annotated[str, typer.Option("--benchmark", help="Such as repoeval-line; commas between several.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder that holds the benchmarks' folders.")]
Workspace = Annotated[
    Path | None, typer.Option(help="Instead of a benchmark: hide lines of this folder, ask the real server.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many rows of each, drawn by the seed.")]
Arms = Annotated[
    str,
    typer.Option(
        "--arms",
        help="Such as none, text+memory, dense:16, leaves+sure; an unknown one is answered with all.",
    ),
]
Against = Annotated[
    str, typer.Option("--against", help="Arms from which the differences of all others are told, too.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures here.")]
RowsFile = Annotated[Path | None, typer.Option("--rows", help="Keep each answer here; a second run goes on.")]
Markdown = Annotated[Path | None, typer.Option("--report", help="Write a page with all figures here.")]
Page = Annotated[Path | None, typer.Option("--html", help="Write the same page here, with plots.")]
Shard = Annotated[str, typer.Option(help="Part i of n, as i/n, for several processes.")]


def evaluate(
    benchmark: Names = "",
    data: Data = None,
    workspace: Workspace = None,
    limit: Limit = None,
    arms: Arms = "none,text",
    against: Against = "",
    json_file: JsonFile = None,
    rows_file: RowsFile = None,
    markdown: Markdown = None,
    page: Page = None,
    shard: Shard = "0/1",
    warm: Annotated[bool, typer.Option("--warm", help="Time the next key's answer, too.")] = False,
    seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 0,
    suffix: Annotated[bool, typer.Option("--suffix", help="Show what follows the target, too.")] = False,
    model: Annotated[str, typer.Option(help="Model name, folder, GGUF file or hub id.")] = "auto",
    checkpoint: Annotated[str, typer.Option(help="Trained weights: a folder, auto, or none.")] = "auto",
    memories: Annotated[Memories, typer.Option(help="What dense arms read.")] = Memories.AUTO,
    embedder: Annotated[str, typer.Option(help="Retrieval keys: static, minilm or a hub id.")] = "static",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")] = 0,
) -> None:
    """Measure exact match and edit similarity on a benchmark or your repository, by arm, with the time."""
    from hef_lsp.bench.figures import setting_of
    from hef_lsp.evaluation.arms import UnknownArm, arms_of

    settings = ModelSettings(
        name=model, checkpoint=checkpoint, memories=memories, embedder=embedder, threads=threads
    )
    try:
        chosen, bases = arms_of(arms), [arm.name for arm in arms_of(against)]
    except UnknownArm as error:
        raise fail(str(error)) from error
    names = [name.strip() for name in benchmark.split(",") if name.strip()]
    if bool(names) == bool(workspace) or (names and data is None):
        raise fail("give --benchmark and --data for a benchmark, or --workspace for a folder of your own")
    setting = setting_of("eval") | {"seed": seed, "limit": limit, "suffix": suffix, "embedder": embedder}
    if workspace is not None:
        runs = [_own(workspace, [arm.name for arm in chosen], bases, limit or 30, seed, settings)]
        setting["model"] = runs[0].pop("model")
    else:
        assert data is not None
        asked = _Asked(chosen, bases, limit, seed, rows_file, shard, settings, suffix, warm)
        runs, setting["model"] = _benchmarks(names, data, asked)
    _write(setting, runs, json_file, markdown, page)


@dataclass(frozen=True)
class _Asked:
    """What is wanted of each benchmark, as the options say."""

    arms: list[Arm]
    against: list[str]
    limit: int | None
    seed: int
    rows_file: Path | None
    shard: str
    models: ModelSettings
    suffix: bool
    warm: bool


def _benchmarks(names: list[str], data: Path, asked: _Asked) -> tuple[list[dict[str, Any]], str]:
    """The figures of each benchmark, and the model's name."""
    from hef_lsp.evaluation.answers import AnswerFile
    from hef_lsp.evaluation.report import report_of
    from hef_lsp.evaluation.runner import RunPlan, run_rows
    from hef_lsp.models_loading import load_models
    from model.evaluation.benchmarks import NoBenchmark

    known = {name: benchmark_of(name) for name in names}
    number, of = shard_of(asked.shard)
    drawn = {name: drawn_rows(name, data, asked.limit, asked.seed) for name in names}
    kept = AnswerFile(asked.rows_file, names[0])
    for line in kept.torn:
        err().print(f"{asked.rows_file}: line {line} is torn and left out", markup=False)
    with named_errors(), progress_bar() as progress:
        models = load_models(asked.models, say_fetching())
        # Without the checkpoint's adapter; loaded when an arm first asks.
        plain = cache(lambda: load_models(replace(asked.models, checkpoint="none"), say_fetching()))
        bars = {
            name: progress.add_task(name, total=len(rows[number::of]) * len(asked.arms))
            for name, (rows, _) in drawn.items()
        }
        runs, arms = [], [arm.name for arm in asked.arms]
        for name, (rows, sources) in drawn.items():
            results: list[ArmResult] = kept.of(name)
            done = frozenset((result.task_id, result.arm) for result in results)
            plan = RunPlan(asked.arms, models, plain, asked.suffix, asked.warm, done)
            try:
                for result in run_rows(rows[number::of], sources, plan):
                    results.append(result)
                    kept.add(name, result)
                    progress.advance(bars[name])
            except NoBenchmark as error:
                raise fail(str(error)) from error
            figures = report_of(known[name].scorer, rows, results, arms, asked.against)
            runs.append({"benchmark": name, "half": sources.name, **figures})
    return runs, models.generator.model_id


def _own(
    folder: Path, arms: list[str], against: list[str], n_lines: int, seed: int, model: ModelSettings
) -> dict[str, Any]:
    """Figures of lines hidden in one's own folder."""
    from hef_lsp.evaluation.arms import UnknownArm, check_served
    from hef_lsp.evaluation.own_lines import NothingToHide, OwnPlan, measure_own_lines
    from hef_lsp.lsp_client import ServerDied, ServerNotReady

    if not folder.is_dir():
        raise fail(f"{folder} is no folder")
    try:
        check_served(arms)
        with named_errors(), err().status("starting the server") as status:
            plan = OwnPlan(folder.resolve(), arms, n_lines, seed, model, against)
            return asyncio.run(measure_own_lines(plan, status.update))
    except (UnknownArm, NothingToHide, ServerNotReady, ServerDied) as error:
        raise fail(str(error)) from error


def _write(
    setting: dict[str, Any],
    runs: list[dict[str, Any]],
    json_file: Path | None,
    markdown: Path | None,
    page: Path | None,
) -> None:
    """One benchmark's figures stand at the top of the JSON, those of several in a list."""
    from hef_lsp.evaluation.pages import html_of, markdown_of, table_of
    from hef_lsp.evaluation.plots import NoPlots, pictures_of

    whole = setting | (runs[0] if len(runs) == 1 else {"runs": runs})
    try:
        if json_file is not None:
            json_file.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        if markdown is not None:
            markdown.write_text(markdown_of(setting, runs), encoding="utf-8")
        if page is not None:
            pictures = {run["benchmark"]: pictures_of(run) for run in runs}
            page.write_text(html_of(setting, runs, pictures), encoding="utf-8")
    except NoPlots as error:
        raise fail(str(error)) from error
    except OSError as error:
        raise fail(f"{error.filename} cannot be written: {error.strerror}; choose another file") from error
    for run in runs:
        if len(runs) > 1:
            out().print(run["benchmark"], markup=False)
        out().print(table_of(run))

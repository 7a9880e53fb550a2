"""`hef-lsp bench latency|scale|soak|yielding|drafts|runtime|index`: measure here, print a table, keep JSON.

Owns options and presentation. What is measured, and how, is `hef_lsp.bench`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hef_lsp.commands.benchmarks import drawn_rows
from hef_lsp.commands.console import err, fail, named_errors, out, progress_bar, say_fetching
from hef_lsp.settings import ModelSettings

if TYPE_CHECKING:
    from hef_lsp.bench.figures import Report
    from hef_lsp.bench.latency import LatencyPlan

app = typer.Typer(no_args_is_help=True, help="Measure latency and indexing on this machine.")

Model = Annotated[str, typer.Option(help="Model name, folder, GGUF file or hub id.")]
EmbedderName = Annotated[str, typer.Option(help="Embedder of the retrieval keys.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the report there, as JSON.")
]


@app.command("latency")
def latency(
    workspace: Annotated[Path, typer.Option(help="The folder whose files are typed.")],
    arms: Annotated[
        str,
        typer.Option(
            help="none, text, dense, also with +memory; auto, the server as it comes; commas between. "
            "Default: the first six."
        ),
    ] = "",
    files: Annotated[int, typer.Option(min=1, help="How many files are typed in.")] = 5,
    lines: Annotated[int, typer.Option(min=1, help="How many lines in a row in each.")] = 3,
    seed: Annotated[int, typer.Option(help="Chooses files and lines.")] = 0,
    key_ms: Annotated[float, typer.Option(min=0, help="Least time between two keys.")] = 120.0,
    read_ms: Annotated[float, typer.Option(min=0, help="Time until a right offer is accepted.")] = 500.0,
    open_s: Annotated[
        float, typer.Option(min=0, help="How long a file has been open before the first key.")
    ] = 0.0,
    debounce_ms: Annotated[
        int | None, typer.Option(min=0, help="Quiet time before work begins; default: the setting's.")
    ] = None,
    model: Model = "auto",
    embedder: EmbedderName = "static",
    rivals: Annotated[bool, typer.Option(help="Also measure transformers' generate and RepoCoder.")] = True,
    llama_cpp: Annotated[
        Path | None, typer.Option(help="A folder with npm's node-llama-cpp: measure llama.cpp, too.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Type real lines over the real protocol; time from keystroke to item, by arm and stage."""
    from hef_lsp.bench import latency as bench
    from hef_lsp.bench.latency_tables import latency_table, rivals_table, stages_table
    from hef_lsp.bench.replay import Pace
    from hef_lsp.evaluation.arms import UnknownArm, check_served
    from hef_lsp.lsp_client import ServerDied, ServerNotReady

    options: dict[str, Any] = {"model": {"name": model, "embedder": embedder}}
    if debounce_ms is not None:
        options["completion"] = {"debounce_ms": debounce_ms}
    names = [arm.strip() for arm in arms.split(",") if arm.strip()] or bench.ARMS
    plan = bench.LatencyPlan(
        workspace=_folder(workspace),
        arms=names,
        n_files=files,
        n_lines=lines,
        seed=seed,
        pace=Pace(key_ms, read_ms, open_s),
        options=options,
    )
    try:
        check_served(names)
        with named_errors(), err().status("starting the server") as status:
            report = asyncio.run(bench.measure_latency(plan, status.update))
            if rivals:
                _add_rivals(report, plan, status.update, llama_cpp)
    except (UnknownArm, bench.NothingToType, ServerNotReady, ServerDied) as error:
        raise fail(str(error)) from error
    out().print(latency_table(report), stages_table(report))
    if rivals:
        out().print(rivals_table(report))
    _keep(report, json_file)


def _add_rivals(
    report: dict[str, Any], plan: LatencyPlan, say: Callable[[str], None], llama_cpp: Path | None
) -> None:
    """After the server has ended, so that the two do not share the processor."""
    from hef_lsp.bench.latency import passages_of
    from hef_lsp.bench.llama_cpp import NoLlamaCpp
    from hef_lsp.bench.rivals import RivalUnavailable, measure_rivals, ratios_to_rivals

    try:
        passages, model = passages_of(plan), plan.options["model"]
        report["rivals"] = measure_rivals(plan.workspace, passages, model, say, llama_cpp)
    except (RivalUnavailable, NoLlamaCpp) as error:
        raise fail(str(error)) from error
    report["ratio_to_rivals"] = ratios_to_rivals(report["arms"], report["rivals"])


def _measured(measure: Callable[[Callable[[str], None]], Coroutine[Any, Any, Report]]) -> Report:
    """The report of a measurement over LSP, which says how far it is; ends the command where it fails."""
    from hef_lsp.bench.latency import NothingToType
    from hef_lsp.lsp_client import ServerDied, ServerNotReady

    try:
        with named_errors(), err().status("starting the server") as status:
            return asyncio.run(measure(status.update))
    except (NothingToType, ServerNotReady, ServerDied) as error:
        raise fail(str(error)) from error


@app.command("scale")
def scale(
    lines: Annotated[str, typer.Option(help="Sizes of the workspaces in lines.")] = "1000,1000000",
    source: Annotated[
        Path | None,
        typer.Option(help="Where files are copied from; default: the standard library's sources."),
    ] = None,
    files: Annotated[int, typer.Option(min=1, help="How many files are typed in.")] = 3,
    passage: Annotated[int, typer.Option(min=1, help="How many lines in a row in each.")] = 3,
    seed: Annotated[int, typer.Option(help="Chooses files and lines.")] = 0,
    model: Model = "auto",
    embedder: EmbedderName = "static",
    json_file: JsonFile = None,
) -> None:
    """Type the same lines in workspaces of growing size; time from keystroke to item."""
    from hef_lsp.bench import latency as bench
    from hef_lsp.bench.scale import ScalePlan, measure_scale, scale_table

    options: dict[str, Any] = {"model": {"name": model, "embedder": embedder}}
    sizes = _sizes(lines)
    folder = _folder(source) if source else None
    typing = bench.LatencyPlan(workspace=Path(), n_files=files, n_lines=passage, seed=seed, options=options)
    report = _measured(lambda say: measure_scale(ScalePlan(sizes, typing, folder), say))
    out().print(scale_table(report))
    _keep(report, json_file)


@app.command("soak")
def soak(
    workspace: Annotated[Path, typer.Option(help="The folder whose files are typed, in a copy.")],
    minutes: Annotated[float, typer.Option(min=0.05, help="How long.")] = 60.0,
    lines: Annotated[int, typer.Option(min=1, help="How many lines in a row in each file.")] = 3,
    seed: Annotated[int, typer.Option(help="Chooses files and lines.")] = 0,
    key_ms: Annotated[float, typer.Option(min=0, help="Least time between two keys.")] = 120.0,
    model: Model = "auto",
    embedder: EmbedderName = "static",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Edit, withdraw and save for a long time; what grows: resident memory, p95, threads, open files."""
    from hef_lsp.bench import soak as bench
    from hef_lsp.bench.replay import Pace

    options: dict[str, Any] = {"model": {"name": model, "embedder": embedder, "threads": threads}}
    plan = bench.SoakPlan(
        workspace=_folder(workspace),
        minutes=minutes,
        n_lines=lines,
        seed=seed,
        pace=Pace(key_ms),
        options=options,
    )
    report = _measured(lambda say: bench.measure_soak(plan, say))
    out().print(bench.soak_table(report))
    _keep(report, json_file)


@app.command("yielding")
def yielding(
    workspace: Annotated[Path, typer.Option(help="The folder that is indexed and whose files are typed.")],
    turns: Annotated[int, typer.Option(min=1, help="How many passages at rest, and as many beside.")] = 6,
    lines: Annotated[int, typer.Option(min=1, help="How many lines in a row in each file.")] = 3,
    seed: Annotated[int, typer.Option(help="Chooses files and lines.")] = 0,
    key_ms: Annotated[float, typer.Option(min=0, help="Least time between two keys.")] = 120.0,
    model: Model = "auto",
    embedder: EmbedderName = "static",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Type while a first index runs and at rest, by turns; the ratio of the times."""
    from hef_lsp.bench import yielding as bench
    from hef_lsp.bench.replay import Pace

    options: dict[str, Any] = {"model": {"name": model, "embedder": embedder, "threads": threads}}
    plan = bench.YieldingPlan(
        workspace=_folder(workspace),
        n_turns=turns,
        n_lines=lines,
        seed=seed,
        pace=Pace(key_ms),
        options=options,
    )
    report = _measured(lambda say: bench.measure_yielding(plan, say))
    out().print(bench.yielding_table(report))
    _keep(report, json_file)


@app.command("drafts")
def drafts(
    data: Annotated[Path, typer.Option("--data", help="Folder that holds the benchmarks' folders.")],
    benchmark: Annotated[str, typer.Option(help="Where the prompts come from.")] = "repoeval-line",
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows, drawn by the seed.")] = 40,
    arms: Annotated[str, typer.Option(help="Arms with +memory; commas between.")] = "none+memory,text+memory",
    seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")] = 0,
    model: Model = "auto",
    json_file: JsonFile = None,
) -> None:
    """Decode a benchmark's prompts with drafts and without; tokens a pass, and times as fast."""
    from hef_lsp.bench.drafts import NoDrafts, drafts_table, measure_drafts
    from hef_lsp.bench.figures import setting_of
    from hef_lsp.evaluation.arms import UnknownArm, arms_of
    from hef_lsp.models_loading import load_models

    rows, sources = drawn_rows(benchmark, data, limit, seed)
    try:
        chosen = arms_of(arms)
        with named_errors(), progress_bar() as progress:
            models = load_models(ModelSettings(name=model, threads=threads), say_fetching())
            bar = progress.add_task(benchmark, total=len(rows) * len(chosen))
            figures = measure_drafts(rows, sources, models, chosen, lambda: progress.advance(bar))
    except (UnknownArm, NoDrafts) as error:
        raise fail(str(error)) from error
    out().print(drafts_table(figures))
    _keep(setting_of("drafts") | {"benchmark": benchmark, "seed": seed, "arms": figures}, json_file)


@app.command("runtime")
def runtime(
    llama_cpp: Annotated[
        Path | None, typer.Option(help="A folder with npm's node-llama-cpp: measure llama.cpp, too.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each reads and says the same.")] = 9,
    checkpoint: Annotated[str, typer.Option(help="Whose adapter takes part: auto, a folder, none.")] = "auto",
    model: Model = "smollm2-135m",
    json_file: JsonFile = None,
) -> None:
    """Time reading a prompt and saying a token, with and without the adapter, beside llama.cpp."""
    from hef_lsp.bench.figures import setting_of
    from hef_lsp.bench.llama_cpp import NoLlamaCpp
    from hef_lsp.bench.runtime import NoRuntime, RuntimePlan, measure_runtime, runtime_table
    from hef_lsp.models_loading import local_model
    from model.hardware import describe_hardware

    try:
        with named_errors():
            local = local_model(model, say_fetching())
            n_threads = threads or describe_hardware().physical_cores
            plan = RuntimePlan(local, checkpoint, n_threads, llama_cpp, rounds)
            with err().status("loading the model") as status:
                report = measure_runtime(plan, status.update)
    except (NoRuntime, NoLlamaCpp) as error:
        raise fail(str(error)) from error
    out().print(runtime_table(report))
    _keep(
        setting_of("runtime") | {"model": local.model_id, "threads": n_threads, "racers": report}, json_file
    )


@app.command("index")
def index(
    lines: Annotated[str, typer.Option(help="Sizes of the workspaces in lines.")] = "1000,10000,100000",
    source: Annotated[
        Path | None,
        typer.Option(help="Where files are copied from; default: the standard library's sources."),
    ] = None,
    updates: Annotated[int, typer.Option(min=1, help="How many files are changed at each size.")] = 5,
    fuse: Annotated[bool, typer.Option(help="Also compress chunks into dense vectors.")] = True,
    model: Model = "auto",
    embedder: EmbedderName = "static",
    json_file: JsonFile = None,
) -> None:
    """Time a first index and one-file updates in workspaces of growing size."""
    from hef_lsp.bench import index as bench
    from hef_lsp.models_loading import load_models
    from hef_lsp.scheduling import InferenceLane, LanePriority

    plan = bench.IndexPlan(_sizes(lines), _folder(source) if source else None, updates, fuse)
    lane = InferenceLane()
    try:
        with named_errors(), err().status("loading the model") as status:
            settings = ModelSettings(name=model, embedder=embedder)
            models = lane.run(LanePriority.INDEX, lambda: load_models(settings))
            report = bench.measure_index(plan, models, lane, status.update)
    except bench.IndexFailed as error:
        raise fail(str(error)) from error
    finally:
        lane.close()
    out().print(bench.index_table(report))
    _keep(report, json_file)


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise fail(f"{folder} is no folder; give an existing one")
    return folder.resolve()


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part.replace("_", "")) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise fail(f"--lines {text!r} is no list of sizes; give numbers such as 1000,10000")
    return sizes


def _keep(report: dict[str, Any], json_file: Path | None) -> None:
    from hef_lsp.bench.figures import write_json

    if json_file is None:
        return
    try:
        write_json(report, json_file)
    except OSError as error:
        raise fail(
            f"{json_file} cannot be written: {error.strerror or error}; choose another file"
        ) from error

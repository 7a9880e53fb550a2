"""`hef-lsp train rows|pack|unpack-results`: a run prepared for another machine and brought home.

Owns presentation. The work is `hef_lsp.training.assessment_rows`, `packing` and `homecoming`.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hef_lsp.commands.benchmarks import drawn_rows
from hef_lsp.commands.console import fail, named_errors, out, progress_bar, say_fetching
from hef_lsp.settings import ModelSettings

Data = Annotated[Path, typer.Option("--data", help="Folder that holds the benchmarks' folders.")]
Output = Annotated[Path, typer.Option("--out", help="Where to write.")]
Model = Annotated[str, typer.Option(help="Model name, GGUF file, folder or hub id.")]


def rows(
    data: Data,
    output: Output,
    benchmark: Annotated[str, typer.Option(help="Names, commas between.")] = "repoeval-line,crosscodeeval",
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows of each.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the draw of rows and of their wrong hits.")] = 0,
) -> None:
    """Make the rows by which a training run is assessed: masked, with what the product's search finds."""
    from hef_lsp.models_loading import load_models
    from hef_lsp.training.assessment_rows import TooFewRepositories, assessment_rows, with_foreign
    from model.training.assessment import AssessmentRow, write_rows

    names = [name.strip() for name in benchmark.split(",") if name.strip()]
    drawn = {name: drawn_rows(name, data, limit, seed) for name in names}
    made: list[tuple[str, AssessmentRow]] = []
    try:
        with named_errors(), progress_bar() as progress:
            models = load_models(ModelSettings(checkpoint="none"), say_fetching())
            for name, (rows, sources) in drawn.items():
                advance = partial(progress.advance, progress.add_task(name, total=len(rows)))
                made += assessment_rows(name, rows, sources, models, advance)
        finished = with_foreign(made, seed)
    except TooFewRepositories as error:
        raise fail(str(error)) from error
    write_rows(output, finished)
    counts = {name: sum(row.benchmark == name for row in finished) for name in names}
    out().print_json(json.dumps({"rows": counts, "seed": seed}))


def pack(
    records: Annotated[list[Path], typer.Option(help="Files of `hef-lsp train data`; again for more.")],
    rows: Annotated[Path, typer.Option(help="File of `hef-lsp train rows`.")],
    output: Annotated[Path, typer.Option("--out", help="Folder for the pieces.")],
    start: Annotated[Path | None, typer.Option(help="A checkpoint's folder to go on from.")] = None,
    max_mib: Annotated[int, typer.Option(min=1, max=4096, help="Most MiB of a piece.")] = 60,
    model: Model = "auto",
) -> None:
    """Pack a run for a machine that has torch and transformers alone; `run.py` beside the pieces runs it."""
    from hef_lsp.models_loading import local_model
    from hef_lsp.training.packing import MIB, CannotPack, PackPlan, write_pack
    from model.gguf_conversion import ensure_converted
    from model.loading import load_language_model

    with named_errors():
        local = local_model(model, say_fetching())
        tokenizer = load_language_model(local, "cpu").tokenizer.to_json()
        folder = ensure_converted(local.path) if local.path.is_file() else local.path
        if folder is None:
            raise fail(f"{local.path.parent} cannot be written; a pack is made of the conversion kept there")
        plan = PackPlan(folder, tokenizer, records, rows, start, (), max_mib * MIB)
        try:
            packed = write_pack(plan, output)
        except (CannotPack, OSError) as error:
            raise fail(str(error)) from error
    out().print_json(json.dumps({"pieces": packed.pieces, "data_sha256": packed.data_sha256}))


def unpack_results(
    results: Annotated[Path, typer.Option(help="Folder that the run filled.")],
    output: Annotated[Path, typer.Option("--out", help="Folder for the checkpoint.")],
    data: Annotated[str, typer.Option(help="What it was trained on, for the checkpoint's card.")] = "",
    commit: Annotated[str, typer.Option(help="Of the code that trained.")] = "",
    seed: Annotated[int, typer.Option(help="Of the run.")] = 0,
    model: Model = "auto",
) -> None:
    """Make a checkpoint of what a run brought back; `hef.model.checkpoint` takes its folder."""
    from hef_lsp.models_loading import local_model
    from hef_lsp.training.homecoming import NoResults, bring_home

    provenance = {"data": data, "commit": commit, "seed": seed}
    with named_errors():
        local = local_model(model, say_fetching())
        try:
            told = bring_home(results, output, local.model_id, provenance)
        except (NoResults, OSError) as error:
            raise fail(str(error)) from error
    out().print_json(json.dumps(told))

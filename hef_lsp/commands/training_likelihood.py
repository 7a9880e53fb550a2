"""`hef-lsp train likelihood`: what each kind of context is worth in nats, with the models as they are.

Owns presentation. The measuring is `hef_lsp.evaluation.likelihood`.
"""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hef_lsp.commands.console import fail, named_errors, out, progress_bar, say_fetching
from hef_lsp.settings import ContextSettings, ModelSettings


def likelihood(
    rows: Annotated[Path, typer.Option(help="File of `hef-lsp train rows`.")],
    arms: Annotated[str, typer.Option(help="none, text, dense, random; dense:16 for a budget.")] = (
        "none,text,dense,random"
    ),
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows of each benchmark.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 0,
    model: Annotated[str, typer.Option(help="Model name, GGUF file, folder or hub id.")] = "auto",
    checkpoint: Annotated[str, typer.Option(help="Trained weights: a folder, auto, or none.")] = "auto",
    memories: Annotated[str, typer.Option(help="slots, vectors, or auto.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure how likely held-out lines are under each kind of context, by the product's own models."""
    from hef_lsp.evaluation.arms import UnknownArm, arms_of
    from hef_lsp.evaluation.likelihood import LikelihoodPlan, likelihoods
    from hef_lsp.models_loading import load_models
    from hef_lsp.settings import Memories
    from model.training.assessment import read_rows

    try:
        found = read_rows(rows)
        kind = Memories(memories)
        wanted = arms_of(arms)
    except (OSError, ValueError, EOFError) as error:
        raise fail(f"{error}; give --rows a file of `hef-lsp train rows` and arms of those known") from error
    random.Random(seed).shuffle(found)
    names = sorted({row.benchmark for row in found})
    drawn = [row for name in names for row in [one for one in found if one.benchmark == name][:limit]]
    with named_errors(), progress_bar() as progress:
        settings = ModelSettings(name=model, checkpoint=checkpoint, memories=kind, threads=threads)
        models = load_models(settings, say_fetching())
        advance = partial(progress.advance, progress.add_task("rows", total=len(drawn)))
        try:
            plan = LikelihoodPlan(models, wanted, ContextSettings())
        except UnknownArm as error:
            raise fail(str(error)) from error
        figures = likelihoods(drawn, plan, advance)
    report = {"model": models.generator.model_id, "memories": kind.value, "seed": seed, "figures": figures}
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1), encoding="utf-8")
    out().print_json(json.dumps(report))

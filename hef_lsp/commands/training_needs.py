"""`hef-lsp train needs`: teaches one reading of a chunk to tell what a second one would look at.

Owns presentation, the chunks that are drawn, and the split into repositories that are fitted to and those
that judge. The fit is `model.slots.needs_fitting`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hef_lsp.commands.console import fail, named_errors, out, progress_bar, say_fetching
from hef_lsp.commands.training_records import read_records
from hef_lsp.settings import Memories, ModelSettings

if TYPE_CHECKING:
    from model.slots.fuser import SlotFuser
    from model.slots.reader import Watched
    from model.training.records import Repository

FEWEST_TOKENS = 24


def needs(
    records: Annotated[
        list[Path], typer.Option("--records", help="Files of `hef-lsp train data`; again for more.")
    ],
    output: Annotated[Path, typer.Option("--out", help="Where to write what was learnt, as safetensors.")],
    chunks: Annotated[int, typer.Option(min=1, help="So many of each repository.")] = 8,
    judges: Annotated[int, typer.Option(min=2, help="One repository in so many is only judged.")] = 12,
    limit: Annotated[int, typer.Option(min=2, help="At most so many repositories.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the chunks.")] = 0,
    model: Annotated[str, typer.Option(help="Model name, folder, GGUF file or hub id.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")] = 0,
) -> None:
    """Teach one reading of a chunk to tell what a second reading would look at."""
    from hef_lsp.models_loading import load_models
    from model.slots.fuser import SlotFuser
    from model.slots.needs_fitting import NeedsFit, figures_of

    repositories = read_records(records)[:limit]
    with named_errors():
        settings = ModelSettings(name=model, threads=threads, memories=Memories.SLOTS)
        bundle = load_models(settings, say_fetching())
    fuser = bundle.fuser
    if not isinstance(fuser, SlotFuser):
        raise fail(f"{model} has no memories of keys and values; choose another with --model")
    fit = NeedsFit()
    judging: list[Watched] = []
    with progress_bar() as progress:
        bar = progress.add_task("repositories", total=len(repositories))
        for number, repository in enumerate(repositories):
            for watched in _watched(repository, fuser, chunks, random.Random(f"{seed} {repository.name}")):
                if number % judges:
                    fit.add(watched)
                else:
                    judging.append(watched)
            progress.advance(bar)
    try:
        learnt = fit.solved()
        figures = figures_of(learnt, judging, fuser.format.n_pairs)
    except ValueError as error:
        raise fail(f"{error}; give more --records") from error
    provenance = {
        "generator": bundle.generator.model_id,
        "repositories": len(repositories),
        "chunks_a_repository": chunks,
        "rows": fit.n_rows,
        "seed": seed,
        "judged_on": asdict(figures),
    }
    try:
        replace(learnt, provenance=provenance).save(output)
    except OSError as error:
        raise fail(f"{output} cannot be written: {error.strerror or error}; choose another file") from error
    out().print_json(json.dumps(provenance))


def _watched(
    repository: Repository, fuser: SlotFuser, n_chunks: int, chooser: random.Random
) -> Iterator[Watched]:
    places = [(file, place) for file in repository.files for place in range(len(file.spans))]
    chosen = chooser.sample(places, min(n_chunks, len(places)))
    for ids in fuser.token_ids([file.chunk(place) for file, place in chosen]):
        if len(ids) >= FEWEST_TOKENS:
            yield fuser.reader.read_twice(ids)

"""`hef-lsp train needs`: teaches one reading of a chunk to tell what a second one would look at.

Owns presentation, the chunks that are drawn, and the split into repositories that are fitted to and those
that judge. The fit is `model.slots.needs_fitting`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from hef_lsp.commands.console import fail, out, progress_bar
from hef_lsp.commands.training_fits import (
    Judges,
    Limit,
    Model,
    Records,
    Tensors,
    Threads,
    load_slot_models,
    writing,
)
from hef_lsp.commands.training_records import read_records

if TYPE_CHECKING:
    from model.slots.fuser import SlotFuser
    from model.slots.reader import Watched
    from model.training.records import Repository

FEWEST_TOKENS = 24


def needs(
    records: Records,
    output: Tensors,
    chunks: Annotated[int, typer.Option(min=1, help="So many of each repository.")] = 8,
    judges: Judges = 12,
    limit: Limit = 100_000,
    seed: Annotated[int, typer.Option(help="Of the chunks.")] = 0,
    model: Model = "auto",
    threads: Threads = 0,
) -> None:
    """Teach one reading of a chunk to tell what a second reading would look at."""
    from model.slots.needs_fitting import NeedsFit, figures_of

    repositories = read_records(records)[:limit]
    fuser, generator = load_slot_models(model, threads)
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
        "generator": generator.model_id,
        "repositories": len(repositories),
        "chunks_a_repository": chunks,
        "rows": fit.n_rows,
        "seed": seed,
        "judged_on": asdict(figures),
    }
    with writing(output):
        replace(learnt, provenance=provenance).save(output)
    out().print_json(json.dumps(provenance))


def _watched(
    repository: Repository, fuser: SlotFuser, n_chunks: int, chooser: random.Random
) -> Iterator[Watched]:
    places = [(file, place) for file in repository.files for place in range(len(file.spans))]
    chosen = chooser.sample(places, min(n_chunks, len(places)))
    for ids in fuser.token_ids([file.chunk(place) for file, place in chosen]):
        if len(ids) >= FEWEST_TOKENS:
            yield fuser.reader.read_twice(ids)

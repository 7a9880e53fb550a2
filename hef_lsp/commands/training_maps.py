"""`hef-lsp train maps`: learns what to make of a chunk's pairs before a prompt takes them over.

Owns presentation, the split into repositories to learn from and to judge by, and when what was learnt is
written. Learning is `model.slots.maps_fitting`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hef_lsp.commands.console import fail, named_errors, out, progress_bar
from hef_lsp.commands.training_fits import (
    Judges,
    Model,
    Records,
    Tensors,
    Threads,
    load_slot_models,
    writing,
)
from hef_lsp.commands.training_records import read_records

if TYPE_CHECKING:
    from model.slots.maps_fitting import MapsFit, SlotExample

SAVE_EVERY_S = 300.0


def maps(
    records: Records,
    output: Tensors,
    examples: Annotated[int, typer.Option(min=8, help="So many to learn from.")] = 1_280,
    judged: Annotated[int, typer.Option(min=1, help="So many to judge by, of other repositories.")] = 64,
    judges: Judges = 12,
    rank: Annotated[int, typer.Option(min=1, help="Of each head's change.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the examples.")] = 0,
    start: Annotated[
        Path | None, typer.Option(help="What was learnt before, to go on with; give another --seed.")
    ] = None,
    model: Model = "auto",
    threads: Threads = 0,
) -> None:
    """Learn what to make of retrieved chunks' keys and values before a prompt takes them over."""
    from hef_lsp.training.slot_examples import slot_examples
    from model.slots.frozen_reading import FrozenReader
    from model.slots.maps import SlotMaps
    from model.slots.maps_fitting import MapsFit
    from model.slots.reader import introduction_of

    repositories = [repository for repository in read_records(records) if repository.records]
    learning = [repository for number, repository in enumerate(repositories) if number % judges]
    if not learning:
        raise fail("one repository is only judged and none is left to learn from; give more --records")
    with named_errors():
        earlier = None if start is None else SlotMaps.load(start)
    fuser, generator = load_slot_models(model, threads)
    tokenizer = generator.tokenizer
    to_judge = list(islice(slot_examples(repositories[::judges], tokenizer, fuser, seed), judged))
    reader = FrozenReader(fuser.reader.plan, introduction_of(tokenizer))
    try:
        fit = MapsFit(reader, examples, rank, seed, earlier)
    except ValueError as error:
        raise fail(f"{start} is of another generator ({error}); leave --start out") from error
    provenance: dict[str, Any] = {
        "generator": generator.model_id,
        "fuser": fuser.model_id,
        "repositories": len(learning),
        "rank": rank,
        "seed": seed,
        "start": dict(earlier.provenance) if earlier is not None else None,
        "judged": {"examples": judged, "nats_before": round(fit.judged(to_judge, learnt=False), 4)},
    }
    drawn = islice(slot_examples(learning, tokenizer, fuser, seed + 1), examples)
    _learn(fit, drawn, examples, lambda: _write(fit, output, provenance))
    provenance["judged"]["nats_after"] = round(fit.judged(to_judge), 4)
    _write(fit, output, provenance)
    out().print_json(json.dumps({**provenance, "examples": fit.n_seen}))


def _learn(fit: MapsFit, examples: Iterator[SlotExample], n: int, save: Callable[[], None]) -> None:
    saved_s = time.monotonic()
    with progress_bar() as progress:
        bar = progress.add_task("examples", total=n)
        for example in examples:
            fit.learn(example)
            progress.advance(bar)
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                save()
                saved_s = time.monotonic()


def _write(fit: MapsFit, output: Path, provenance: dict[str, Any]) -> None:
    with writing(output):
        replace(fit.maps.merged(), provenance={**provenance, "examples": fit.n_seen}).save(output)

"""`hef-lsp train utility|run|ablate`: on this machine, from records, or from packages, to a checkpoint.

Owns presentation. The work is `model.training.utility`, `hef_lsp.training.local_run` and what that starts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hef_lsp.commands.console import err, fail, named_errors, out, say_fetching
from hef_lsp.commands.training_records import make_records, read_records
from hef_lsp.commands.training_view import TrainingView

if TYPE_CHECKING:
    from hef_lsp.training.local_run import RunPlan
    from model.training.records import Repository

Records = Annotated[list[Path] | None, typer.Option(help="Files of `hef-lsp train data`; again for more.")]
Archives = Annotated[
    Path | None, typer.Option(help="Instead of --records: a folder of wheels and sdists to cut them from.")
]
Packages = Annotated[
    Path | None, typer.Option(help="With --archives: names of packages to fetch into it, one a line.")
]
Rows = Annotated[Path | None, typer.Option(help="File of `train rows`; else a repository is kept apart.")]
NRows = Annotated[int, typer.Option(min=2, help="At most so many rows to judge by.")]
Minutes = Annotated[float, typer.Option("--max-minutes", "--minutes", min=0.01, help="Of training.")]
Small = Annotated[bool, typer.Option(help="Sizes for a CPU; --no-small for those that are shipped.")]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.")]
Model = Annotated[str, typer.Option(help="Model name, GGUF file, folder or hub id.")]
Flags = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="NAME=VALUE of the training, such as kl=0.2 or leaves-only=yes; again for more."
    ),
]


def utility(
    records: Annotated[Path, typer.Option(help="File of `hef-lsp train data`.")],
    output: Annotated[Path, typer.Option("--out", help="Where to write the same with utilities.")],
    limit: Annotated[int, typer.Option(min=1, help="At most so many records of each repository.")] = 50,
    max_minutes: Annotated[float, typer.Option(min=0.01, help="After these the rest stays unscored.")] = 60,
    rows: Annotated[int, typer.Option(min=1, help="Records of a batch.")] = 4,
    prefix_tokens: Annotated[int, typer.Option(min=16, help="Of the file before the cursor.")] = 384,
    text_tokens: Annotated[int, typer.Option(min=16, help="Of what was retrieved.")] = 512,
    seed: Seed = 0,
    model: Model = "auto",
) -> None:
    """Score how much each record's context helps, by forward passes with it and without."""
    from hef_lsp.models_loading import local_model
    from model.loading import load_language_model
    from model.training.examples import ExamplePlan
    from model.training.local_scoring import scorer_of
    from model.training.records import write_repositories
    from model.training.utility import scored

    repositories = read_records([records])
    n_done = [0]

    def told(found: Iterator[Repository]) -> Iterator[Repository]:
        for number, repository in enumerate(found, 1):
            n_scored = sum(record.utility is not None for record in repository.records)
            n_done[0] += n_scored
            err().print(
                f"{number} of {len(repositories)}: {repository.name}, {n_scored} scored", markup=False
            )
            yield repository

    with named_errors():
        loaded = load_language_model(local_model(model, say_fetching()), "cpu")
        plan = ExamplePlan(prefix_tokens=prefix_tokens, text_tokens=text_tokens)
        scorer = scorer_of(loaded, plan, rows)
        until_s = time.monotonic() + 60 * max_minutes
        written = write_repositories(output, told(scored(repositories, scorer, limit, until_s, seed)))
    out().print_json(json.dumps({"records": written, "scored": n_done[0], "seed": seed}))


def run(
    output: Annotated[Path, typer.Option("--out", help="Folder for the checkpoint.")],
    records: Records = None,
    archives: Archives = None,
    packages: Packages = None,
    rows: Rows = None,
    n_rows: NRows = 24,
    minutes: Minutes = 10.0,
    small: Small = True,
    settings: Flags = None,
    seed: Seed = 0,
    model: Model = "auto",
) -> None:
    """Train on this machine, judge what was learned, and write a checkpoint; a second call goes on."""
    from hef_lsp.training.homecoming import NoResults
    from hef_lsp.training.local_run import RunFailed, run_here
    from hef_lsp.training.run_page import page_of

    work = output.with_name(output.name + ".work")
    found = _records(records, archives, packages, work, seed)
    with named_errors():
        plan = _plan(found, rows, n_rows, minutes, small, settings, seed, model, work)
        provenance = {"records": [path.name for path in found], "seed": seed}
        try:
            with TrainingView() as view:
                told = run_here(plan, output, provenance, view.hear)
            page = page_of(told, work / "results" / "metrics.jsonl")
            output.with_suffix(".md").write_text(page, encoding="utf-8")
        except (RunFailed, NoResults, OSError, ValueError) as error:
            raise fail(str(error)) from error
    out().print_json(json.dumps(told))


def ablate(
    output: Annotated[Path, typer.Option("--out", help="Folder for the table and the states.")],
    vary: Annotated[
        list[str],
        typer.Option(help="NAME=VALUE,VALUE: layers, n-vectors, n-hits, fuser-rank, leaves-only, kl, …"),
    ],
    records: Records = None,
    archives: Archives = None,
    packages: Packages = None,
    rows: Rows = None,
    n_rows: NRows = 24,
    minutes: Minutes = 10.0,
    small: Small = True,
    settings: Flags = None,
    seed: Seed = 0,
    model: Model = "auto",
) -> None:
    """Train the same again with one setting changed at a time; those that ended are not run again."""
    from hef_lsp.training.local_run import RunFailed, ablate_here
    from model.training.ablation import variants

    try:
        variants(vary)
    except ValueError as error:
        raise fail(str(error)) from error
    work = output / "work"
    found = _records(records, archives, packages, work, seed)
    with named_errors():
        plan = _plan(found, rows, n_rows, minutes, small, settings, seed, model, work)
        try:
            with TrainingView() as view:
                table = ablate_here(plan, vary, output, view.hear)
        except (RunFailed, OSError, ValueError) as error:
            raise fail(str(error)) from error
    out().print(table, markup=False)


def _plan(
    records: list[Path],
    rows: Path | None,
    n_rows: int,
    minutes: float,
    small: bool,
    settings: list[str] | None,
    seed: int,
    model: str,
    work: Path,
) -> RunPlan:
    from hef_lsp.models_loading import local_model
    from hef_lsp.training.local_run import SMALL, RunPlan
    from model.loading import load_language_model

    local = local_model(model, say_fetching())
    return RunPlan(
        weights=local.path,
        tokenizer_json=load_language_model(local, "cpu").tokenizer.to_json(),
        generator_id=local.model_id,
        records=records,
        rows=rows,
        n_rows=n_rows,
        minutes=minutes,
        seed=seed,
        flags=(*(SMALL if small else ()), *_flags(settings or ())),
        work=work,
    )


def _flags(settings: Sequence[str]) -> list[str]:
    """As `model.training.remote` takes them."""
    flags = []
    for text in settings:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise fail(f"--set is {text!r}, expected NAME=VALUE such as kl=0.2 or leaves-only=yes")
        flags += [f"--{name}"] if value == "yes" else [f"--{name}", *value.split(",")]
    return flags


def _records(
    records: list[Path] | None, archives: Path | None, packages: Path | None, work: Path, seed: int
) -> list[Path]:
    """Those given, or those cut from packages, once."""
    if bool(records) == bool(archives):
        raise fail("give either --records, or --archives to cut them from packages")
    if records:
        for path in records:
            if not path.is_file():
                raise fail(f"{path} is no file; make it with `hef-lsp train data`")
        return records
    assert archives is not None
    made = work / "cut.jsonl.xz"
    if not made.is_file():
        work.mkdir(parents=True, exist_ok=True)
        told = make_records(archives, made, packages, seed=seed)
        if not told["records"]:
            made.unlink()
            raise fail(f"{archives} gave no records: {told['left_out']}; give it other packages")
    return [made]

"""`hef-lsp model list|pull|path|remove`: the models on this machine and those that can be fetched.

Owns presentation and consent. What a name means and how files come to disk is `model.hub`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table

from hef_lsp.commands.console import err, fail, named_errors, out
from model.errors import ModelCorrupt, ModelUnavailable
from model.fetching import Progress, megabytes
from model.hub import ModelEntry, ModelHub, default_cache_dir

HubMaker = Callable[[Progress | None], ModelHub]
COLUMNS = ("name", "download", "licence", "on disk", "fits best", "description")

app = typer.Typer(no_args_is_help=True, help="List, fetch, find and remove models.")

Name = Annotated[str, typer.Argument(help="A name from `hef-lsp model list`, or a hub id such as org/name.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _hub(context: typer.Context, on_progress: Progress | None = None) -> ModelHub:
    """The user's hub, or that of a caller who gave one as the context's object."""
    maker: HubMaker | None = context.obj if callable(context.obj) else None
    return (
        maker(on_progress) if maker else ModelHub(default_cache_dir(), offline=False, on_progress=on_progress)
    )


@app.command("list")
def list_models(context: typer.Context) -> None:
    """Show the known models, which are on disk, and which suits this machine best."""
    with named_errors():
        hub = _hub(context)
        best = hub.recommended().name
        rows = [_row(entry, best) for entry in hub.list()]
    console = out()
    if console.is_terminal:
        console.print(_table(rows))
    else:
        for row in (COLUMNS, *rows):
            typer.echo("\t".join(row))


def _row(entry: ModelEntry, best: str) -> tuple[str, ...]:
    spec = entry.spec
    marks = ("yes" if entry.present else "no", "yes" if spec.name == best else "")
    return (spec.name, megabytes(spec.download_bytes), spec.licence, *marks, spec.description)


def _table(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "download" else "left")
    for row in rows:
        table.add_row(*row, style=None if row[COLUMNS.index("on disk")] == "yes" else "dim")
    return table


@app.command()
def pull(
    context: typer.Context,
    name: Name,
    yes: Yes = False,
    verify: Annotated[bool, typer.Option(help="Read every byte of it against its checksums.")] = False,
) -> None:
    """Fetch a model; what broke off earlier goes on where it stopped."""
    with named_errors():
        if not _on_disk(_hub(context), name):
            _consent(_hub(context), name, yes)
            with _byte_bar() as report:
                _hub(context, report).resolve(name, allow_download=True)
        with _byte_bar() as report:
            hub = _hub(context, report)
            local = hub.verify(name) if verify else hub.resolve(name, allow_download=False)
    out().print(
        f"{name} is on disk{' and verified' if verify else ''}: {local.path}", soft_wrap=True, markup=False
    )


def _on_disk(hub: ModelHub, name: str) -> bool:
    """Whether nothing needs fetching; a damaged file of ours is said, and is gone afterwards."""
    try:
        hub.path(name)
    except ModelUnavailable:
        return False
    except ModelCorrupt as damage:
        try:
            hub.path(name)  # what was ours and damaged is gone now; the user's own file raises again
        except ModelUnavailable:
            err().print(str(damage), markup=False, soft_wrap=True)
            return False
    return True


def _consent(hub: ModelHub, name: str, yes: bool) -> None:
    """Says what will be fetched, and asks unless told not to."""
    spec = next((entry.spec for entry in hub.list() if entry.spec.name == name), None)
    licence = f", licence {spec.licence}" if spec else ""
    err().print(f"{name}: {megabytes(hub.download_size(name))} to fetch{licence}", markup=False)
    if not yes and not typer.confirm("Fetch it?", err=True):
        raise fail("nothing was fetched")


@contextmanager
def _byte_bar() -> Iterator[Progress]:
    """A bar for each label on stderr; where that is no terminal, only what is waited for is said, once."""
    console = err()
    if not console.is_terminal:
        yield _waits_only(console)
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(TextColumn("{task.description}"), *columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=None)
            bar.update(tasks[label], completed=done, total=total or None)

        yield report


def _waits_only(console: Console) -> Progress:
    said: set[str] = set()

    def report(label: str, done: int, total: int) -> None:
        if total == 0 and label not in said:
            said.add(label)
            console.print(label, markup=False)

    return report


@app.command()
def path(context: typer.Context, name: Name) -> None:
    """Print where a model lies."""
    with named_errors():
        typer.echo(_hub(context).path(name))


@app.command()
def remove(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete a fetched model from this machine."""
    with named_errors():
        if not yes and not typer.confirm(f"Delete {name} from this machine?", err=True):
            raise fail("nothing was deleted")
        freed = _hub(context).remove(name)
    typer.echo(f"{name} removed, {megabytes(freed)} freed")

"""`hef-lsp index` and `hef-lsp status`: a first index from the command line, and what it holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from hef_lsp.commands.console import fail, named_errors, out, progress_bar, say_fetching
from hef_lsp.commands.views import figures_view
from hef_lsp.settings import IndexSettings, ModelSettings, Settings

Folder = Annotated[Path, typer.Argument(help="The workspace folder.", show_default="the current folder")]
CacheDir = Annotated[Path | None, typer.Option("--cache-dir", help="Where indexes are kept.")]


def index(
    folder: Folder = Path(),
    model: Annotated[str, typer.Option(help="Model name, folder, GGUF file or hub id.")] = "auto",
    embedder: Annotated[str, typer.Option(help="Embedder of the retrieval keys.")] = "static",
    fuse: Annotated[bool, typer.Option(help="Also compress chunks into dense vectors.")] = True,
    cache_dir: CacheDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Index a folder now, as the server would in the background, and print what it holds."""
    root = checked_folder(folder)
    settings = Settings(
        model=ModelSettings(name=model, embedder=embedder),
        index=dataclasses.replace(IndexSettings(), fuse=fuse),
    )
    from hef_lsp.local import local_session

    with named_errors(), progress_bar() as bar:
        follow = _StatusBar(bar)
        with local_session(root, settings, follow.show, say_fetching(), cache_dir) as session:
            session.folder.wait_idle(None)
            report = session.folder.status()
    print_status(report, as_json)
    if report.get("state") == "error":
        raise fail(str(report.get("message") or "the index could not be made"))


def status(
    folder: Folder = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    cache_dir: CacheDir = None,
) -> None:
    """Say what the index of a folder holds and what it has cost, without loading a model."""
    from hef_lsp.workspace import stored_status

    root = checked_folder(folder)
    with named_errors():
        report = stored_status(root, cache_dir)
    if report is None:
        raise fail(f"{root} has no index yet; run: hef-lsp index {folder}")
    print_status(report, as_json)


def checked_folder(folder: Path) -> Path:
    """`folder` resolved; a missing one or a file ends the command with what to do."""
    if not folder.exists():
        raise fail(f"{folder} does not exist; give an existing folder")
    if not folder.is_dir():
        raise fail(f"{folder} is a file; give the folder that holds it")
    return folder.resolve()


class _StatusBar:
    """Shows the folder's state as it changes; called from the writer thread."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def show(self, report: dict[str, Any]) -> None:
        label, done, total = report.get("state", ""), report.get("done", 0), report.get("total", 0)
        if self._task is None:
            self._task = self._bar.add_task(label, total=None)
        self._bar.update(self._task, description=label, completed=done, total=total or None)


def print_status(report: dict[str, Any], as_json: bool, console: Console | None = None) -> None:
    """The status as JSON, or as a table of one figure a row."""
    if as_json:
        typer.echo(json.dumps(report, indent=2, sort_keys=True, default=str))
        return
    hidden = {"done", "total", "last"}  # progress is over, and the last step alone says little
    shown = {name: v for name, v in report.items() if name not in hidden and v not in (None, "", {}, [], ())}
    (console or out()).print(figures_view(shown))

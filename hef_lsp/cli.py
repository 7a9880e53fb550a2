"""The command line: one typer application, its commands each in a file of `hef_lsp.commands`.

Owns the entry point and what is common to all commands. Loads no model library itself.
"""

from __future__ import annotations

from typing import Annotated

import typer

from hef_lsp import __version__
from hef_lsp.commands import (
    bench,
    completing,
    counting,
    demonstration,
    diagnosis,
    evaluating,
    indexing,
    models,
    serving,
    training,
)
from model.torch_environment import tell_torch

app = typer.Typer(
    name="hef-lsp",
    help="Code completion that knows the whole repository, on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serving.serve)
app.command("index")(indexing.index)
app.command("status")(indexing.status)
app.command("complete")(completing.complete)
app.command("explain")(completing.explain)
app.command("stats")(counting.stats)
app.command("doctor")(diagnosis.doctor)
app.command("demo")(demonstration.demo)
app.command("eval")(evaluating.evaluate)
app.add_typer(models.app, name="model")
app.add_typer(bench.app, name="bench")
app.add_typer(training.app, name="train")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hef-lsp {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Code completion that knows the whole repository, on your own machine."""


def main() -> None:
    """The console script."""
    tell_torch()
    app()

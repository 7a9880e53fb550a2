"""`hef-lsp train`: from source archives to a checkpoint; the group of commands, and `data`.

Owns presentation. Each step's work is in `hef_lsp.training` and `model.training`; the training itself
runs as `python -m model.training.remote`, on this machine or on one that has torch and transformers alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hef_lsp.commands.console import out
from hef_lsp.commands.training_gate import gate
from hef_lsp.commands.training_maps import maps
from hef_lsp.commands.training_needs import needs
from hef_lsp.commands.training_pack import pack, rows, unpack_results
from hef_lsp.commands.training_records import make_records
from hef_lsp.commands.training_run import ablate, run, utility

app = typer.Typer(
    no_args_is_help=True, help="Make training data, pack it for another machine, bring weights home."
)

for command in (utility, rows, run, ablate, gate, needs, maps, pack, unpack_results):
    app.command()(command)

Folder = Annotated[
    Path, typer.Option(help="Folder of wheels and sdists; packages of --packages are fetched here.")
]
Names = Annotated[Path | None, typer.Option(help="File of package names, one a line (after a # comment).")]
Exclude = Annotated[Path | None, typer.Option(help="File of names never to train on.")]
Fingerprints = Annotated[Path | None, typer.Option(help="Sorted 64-bit fingerprints of benchmarks' sources.")]
Out = Annotated[Path, typer.Option("--out", help="Where to write.")]


@app.command()
def data(
    archives: Folder,
    output: Out,
    packages: Names = None,
    exclude: Exclude = None,
    fingerprints: Fingerprints = None,
    lines_a_cursor: Annotated[int, typer.Option(min=1, help="One cursor in so many lines.")] = 18,
    limit: Annotated[int, typer.Option(min=1, help="At most so many repositories.")] = 100_000,
    shard: Annotated[str, typer.Option(help="Part i of n, as i/n, for several processes.")] = "0/1",
    seed: Annotated[int, typer.Option(help="Of the cursors.")] = 0,
    embedder: Annotated[str, typer.Option(help="What searches: as hef.model.embedder.")] = "static",
) -> None:
    """Cut training records from packages: permissive licences only, benchmarks left out."""
    told = make_records(
        archives, output, packages, exclude, fingerprints, lines_a_cursor, limit, shard, seed, embedder
    )
    out().print_json(json.dumps(told))

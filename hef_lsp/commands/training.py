"""`hef-lsp train`: from source archives to a checkpoint; the group of commands, and `data`.

Owns presentation. Each step's work is in `hef_lsp.training` and `model.training`; the training itself
runs as `python -m model.training.remote`, on this machine or on one that has torch and transformers alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from hef_lsp.commands.console import err, fail, named_errors, out, say_fetching, shard_of
from hef_lsp.commands.training_gate import gate
from hef_lsp.commands.training_pack import pack, rows, run, unpack_results
from hef_lsp.settings import ModelSettings

app = typer.Typer(
    no_args_is_help=True, help="Make training data, pack it for another machine, bring weights home."
)

for command in (rows, gate, run, pack, unpack_results):
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
) -> None:
    """Cut training records from packages: permissive licences only, benchmarks left out."""
    from hef_lsp.models_loading import load_models
    from hef_lsp.training.corpus import CorpusCounts, Exclusions, read_corpora
    from hef_lsp.training.cutting import cut_repositories
    from indexer.dataset import CursorPlan
    from model.training.records import write_repositories

    number, of = shard_of(shard)
    if packages is not None:
        _fetch(_names(packages), archives)
    if not archives.is_dir():
        raise fail(f"{archives} is no folder; give --archives a folder of wheels or sdists")
    try:
        exclusions = Exclusions.read(exclude, fingerprints)
    except OSError as error:
        raise fail(f"the exclusions cannot be read: {error}") from error
    counts = CorpusCounts()
    with named_errors():
        models = load_models(ModelSettings(checkpoint="none"), say_fetching())
        corpora = (
            corpus
            for place, corpus in enumerate(read_corpora(archives.iterdir(), exclusions, counts))
            if place % of == number and place // of < limit
        )
        plan = CursorPlan(lines_a_cursor=lines_a_cursor, seed=seed)
        n_records = write_repositories(output, cut_repositories(corpora, models, plan, _progress))
    out().print_json(
        json.dumps(
            {
                "records": n_records,
                "packages": counts.packages,
                "files": counts.files,
                "bytes": counts.n_bytes,
                "left_out": counts.left_out,
                "seed": seed,
            }
        )
    )


def _progress(line: str) -> None:
    err().print(line, markup=False, soft_wrap=True)


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise fail(f"--packages cannot be read: {error}") from error
    return [line.split("\t")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def _fetch(names: list[str], folder: Path) -> None:
    """Wheels or sdists of packages that the folder lacks; one that fails is said and left out."""
    folder.mkdir(parents=True, exist_ok=True)
    present = {file.name.lower().replace("_", "-") for file in folder.iterdir()}
    for name in names:
        if any(file.startswith(f"{name.lower()}-") for file in present):
            continue
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(folder),
            name,
        ]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            _progress(f"{name}: could not be fetched, left out")

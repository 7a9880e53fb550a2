"""Training records from packages: what `hef-lsp train data` does, and `train run` where it is given none.

Owns fetching by name and what is said meanwhile. Which packages may be taken is `hef_lsp.training.corpus`,
how records are cut `hef_lsp.training.cutting`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hef_lsp.commands.console import err, fail, named_errors, say_fetching, shard_of
from hef_lsp.settings import ModelSettings
from model.offline import refuse_offline

if TYPE_CHECKING:
    from model.training.records import Repository


def make_records(
    archives: Path,
    output: Path,
    packages: Path | None = None,
    exclude: Path | None = None,
    fingerprints: Path | None = None,
    lines_a_cursor: int = 18,
    limit: int = 100_000,
    shard: str = "0/1",
    seed: int = 0,
    embedder: str = "static",
) -> dict[str, Any]:
    """Writes the records and gives what was taken and left out; ends the command where it cannot."""
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
        models = load_models(ModelSettings(checkpoint="none", embedder=embedder), say_fetching())
        corpora = (
            corpus
            for place, corpus in enumerate(read_corpora(archives.iterdir(), exclusions, counts))
            if place % of == number and place // of < limit
        )
        plan = CursorPlan(lines_a_cursor=lines_a_cursor, seed=seed)
        n_records = write_repositories(output, cut_repositories(corpora, models, plan, _say))
    return {
        "records": n_records,
        "packages": counts.packages,
        "files": counts.files,
        "bytes": counts.n_bytes,
        "left_out": counts.left_out,
        "seed": seed,
        "embedder": embedder,
    }


def read_records(paths: Sequence[Path]) -> list[Repository]:
    """All repositories of `paths`; ends the command where one cannot be read."""
    import lzma

    from model.training.records import read_repositories

    try:
        return [repository for path in paths for repository in read_repositories(path)]
    except (OSError, EOFError, ValueError, KeyError, lzma.LZMAError) as error:
        raise fail(
            f"the records cannot be read ({error}); make them anew with `hef-lsp train data`"
        ) from error


def _say(line: str) -> None:
    err().print(line, markup=False, soft_wrap=True)


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise fail(f"--packages cannot be read: {error}") from error
    return [line.split("\t")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def _fetch(names: list[str], folder: Path) -> None:
    """Wheels or sdists of packages that the folder lacks; one that fails is said and left out."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    present = {file.name.lower().replace("_", "-") for file in folder.iterdir()}
    for name in names:
        if any(file.startswith(f"{name.lower()}-") for file in present):
            continue
        refuse_offline(name)
        # -P and the folder: a `pip.py` where the command was given must never be run.
        command = [
            sys.executable,
            "-P",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(folder),
        ]
        if subprocess.run([*command, name], cwd=folder, check=False, capture_output=True).returncode:
            _say(f"{name}: could not be fetched, left out")

"""A training run on this machine: records in, a checkpoint and its report out; or its ablations.

Owns the folder that `model.training.remote` reads, the split into repositories to train on and to judge
by, and the process. On a CPU it is a rehearsal: sizes and minutes decide what comes of it (docs/training.md).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hef_lsp.training.assessment_rows import TooFewRepositories, rows_of_records, with_foreign
from hef_lsp.training.homecoming import bring_home
from model.training.assessment import write_rows
from model.training.records import Repository, read_repositories, write_repositories

SMALL = (
    *("--rows", "4", "--workers", "0", "--layers", "4", "--fuser-rank", "8", "--decoder-rank", "8"),
    *("--dimension", "128", "--prefix-tokens", "96"),
)
"""Sizes that a CPU gets through: some two steps a second are not to be had with the full ones."""
JUDGES = 4
"""One repository in so many is not trained on, where no rows are given."""
Hear = Callable[[str], None]


class RunFailed(Exception):
    """The run could not be made or ended early; the message says why."""


@dataclass(frozen=True)
class RunPlan:
    """`weights` are the generator's, a GGUF file or a folder; `work` keeps the state of a stopped run."""

    weights: Path
    tokenizer_json: str
    generator_id: str
    records: Sequence[Path]
    rows: Path | None
    n_rows: int
    minutes: float
    seed: int
    flags: Sequence[str]
    work: Path


def run_here(plan: RunPlan, output: Path, provenance: dict[str, Any], hear: Hear) -> dict[str, Any]:
    """Trains, assesses and writes the checkpoint to `output`; gives what it says of itself.

    Raises RunFailed, `homecoming.NoResults` or `model.errors.ModelCorrupt`.
    """
    results = plan.work / "results"
    results.mkdir(parents=True, exist_ok=True)
    places = ["--state", str(plan.work / "state"), "--out", str(results)]
    _run(plan, ["model.training.remote", *arguments_of(plan), *places, "--final"], hear)
    return bring_home(results, output, plan.generator_id, provenance)


def ablate_here(plan: RunPlan, vary: Sequence[str], output: Path, hear: Hear) -> str:
    """Runs the base and each variant, and leaves the table in the folder `output`. Raises RunFailed."""
    plan.work.mkdir(parents=True, exist_ok=True)
    places = ["--work", str(plan.work), "--out", str(output), "--vary", *vary]
    _run(plan, ["model.training.ablation", *places, "--", *arguments_of(plan)], hear)
    return (output / "ablation.md").read_text(encoding="utf-8")


def arguments_of(plan: RunPlan) -> list[str]:
    """Those of `model.training.remote` but for where state and results go; makes what they name."""
    folder = plan.work / "generator"
    folder.mkdir(parents=True, exist_ok=True)
    if plan.weights.is_file():
        shutil.copy(plan.weights, folder / "model.gguf")
        named = ["--gguf", "model.gguf"]
    else:
        for path in (plan.weights / "config.json", *plan.weights.glob("*.safetensors*")):
            shutil.copy(path, folder / path.name)
        named = []
    (folder / "tokenizer.json").write_text(plan.tokenizer_json, encoding="utf-8")
    records, rows = _split(plan)
    arguments = ["--model", str(folder), *named, "--records", str(records)]
    arguments += ["--assess", str(rows), "--assess-rows", str(plan.n_rows)]
    return [*arguments, "--minutes", str(plan.minutes), "--seed", str(plan.seed), *plan.flags]


def _run(plan: RunPlan, module: Sequence[str], hear: Hear) -> None:
    """Hands each line that the process says to `hear`."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path, "TQDM_DISABLE": "1"}
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            for line in process.stdout or ():
                hear(line.rstrip("\n"))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise RunFailed(
            f"the run ended with {process.returncode}; what it said stands above. The same command goes on "
            f"from its last state in {plan.work}"
        )


def _split(plan: RunPlan) -> tuple[Path, Path]:
    """Files of records to train on, and of rows to judge by."""
    repositories = [repository for path in plan.records for repository in read_repositories(path)]
    if plan.rows is not None:
        return _written(repositories, plan.work / "records.jsonl.xz"), plan.rows
    if len(repositories) < 2:
        raise RunFailed(
            "the records hold one repository; two are needed, or --rows, to judge what was learned"
        )
    judges = repositories[::JUDGES] if len(repositories) > JUDGES else repositories[:1]
    try:
        rows = with_foreign(
            _with_others(rows_of_records(judges, plan.n_rows, plan.seed), repositories), plan.seed
        )
    except TooFewRepositories as error:
        raise RunFailed(str(error)) from error
    write_rows(plan.work / "rows.jsonl.xz", rows[: plan.n_rows])
    learned = [repository for repository in repositories if repository not in judges]
    return _written(learned, plan.work / "records.jsonl.xz"), plan.work / "rows.jsonl.xz"


def _with_others(rows: list[Any], repositories: Sequence[Repository]) -> list[Any]:
    """With some of another repository where one alone judges, so that there are wrong hits to be had."""
    if len({name for name, _ in rows}) > 1:
        return rows
    return rows + rows_of_records(repositories[1:], len(rows), 0)


def _written(repositories: Sequence[Repository], path: Path) -> Path:
    write_repositories(path, repositories)
    return path

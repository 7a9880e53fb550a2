"""`hef-lsp eval`: a benchmark through the product's own engine, arm by arm.

Owns presentation, resuming and the files written. The runs are `hef_lsp.evaluation.runner`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hef_lsp.commands.benchmarks import benchmark_of, drawn_rows
from hef_lsp.commands.console import err, fail, named_errors, out, progress_bar, say_fetching
from hef_lsp.settings import ModelSettings

Name = Annotated[str, typer.Option("--benchmark", help="Such as repoeval-line; another lists them all.")]
Data = Annotated[Path, typer.Option("--data", help="Folder that holds the benchmarks' folders.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many rows, drawn by the seed.")]
Arms = Annotated[
    str, typer.Option("--arms", help="none, text, dense, iterative, each with +memory too; commas between.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures here.")]
RowsFile = Annotated[Path | None, typer.Option("--rows", help="Keep each answer here; a second run goes on.")]
Markdown = Annotated[Path | None, typer.Option("--report", help="Write a page with all figures here.")]
Shard = Annotated[str, typer.Option(help="Part i of n, as i/n, for several processes.")]


def evaluate(
    benchmark: Name,
    data: Data,
    limit: Limit = None,
    arms: Arms = "none,text",
    json_file: JsonFile = None,
    rows_file: RowsFile = None,
    markdown: Markdown = None,
    shard: Shard = "0/1",
    seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 0,
    suffix: Annotated[bool, typer.Option("--suffix", help="Show what follows the target, too.")] = False,
    model: Annotated[str, typer.Option(help="Model name, folder, GGUF file or hub id.")] = "auto",
    checkpoint: Annotated[str, typer.Option(help="Trained weights: a folder, auto, or none.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")] = 0,
) -> None:
    """Measure exact match and edit similarity on a benchmark, by arm, with the time it took."""
    from hef_lsp.bench.figures import setting_of
    from hef_lsp.evaluation.report import markdown_of, report_of, table_of
    from hef_lsp.evaluation.runner import ArmResult, UnknownArm, arm_settings, run_rows
    from hef_lsp.models_loading import load_models

    chosen, names = benchmark_of(benchmark), [arm.strip() for arm in arms.split(",") if arm.strip()]
    try:
        for name in names:
            arm_settings(name)
    except UnknownArm as error:
        raise fail(str(error)) from error
    drawn, sources = drawn_rows(benchmark, data, limit, seed)
    rows = _part(drawn, shard)
    results = [ArmResult(**answer) for answer in _kept(rows_file)]
    known = {(result.task_id, result.arm) for result in results}
    with named_errors(), progress_bar() as progress:
        models = load_models(
            ModelSettings(name=model, checkpoint=checkpoint, threads=threads), say_fetching()
        )
        bar = progress.add_task(benchmark, total=len(rows) * len(names))
        for result in run_rows(rows, sources, models, names, suffix, lambda task, arm: (task, arm) in known):
            results.append(result)
            _keep(rows_file, asdict(result))
            progress.advance(bar)
    report = setting_of("eval") | {
        "benchmark": benchmark,
        "half": sources.name,
        "seed": seed,
        "limit": limit,
        "suffix": suffix,
        "model": models.generator.model_id,
        **report_of(chosen, rows, results, names),
    }
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if markdown is not None:
        markdown.write_text(markdown_of(report), encoding="utf-8")
    out().print(table_of(report))


def _part(rows: list[Any], shard: str) -> list[Any]:
    number, _, of = shard.partition("/")
    if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise fail(f"--shard is {shard!r}, expected i/n such as 0/2")
    return rows[int(number) :: int(of)]


def _kept(path: Path | None) -> list[dict[str, Any]]:
    """Answers of an earlier run; a last line torn by a kill is dropped."""
    if path is None or not path.is_file():
        return []
    answers = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            answers.append(json.loads(line))
        except ValueError:
            err().print(f"{path.name}: a torn line is left out", markup=False)
    return answers


def _keep(path: Path | None, answer: dict[str, Any]) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")

"""Answers to figures: means with intervals by arm, differences between arms, a table.

Owns the shape of the JSON that `hef-lsp eval` writes. Scores are `model.evaluation.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from rich.table import Table

from hef_lsp.bench.figures import Report
from hef_lsp.evaluation.runner import ArmResult
from model.evaluation.benchmarks import Benchmark, BenchmarkRow
from model.evaluation.metrics import Score, mean_of, paired_difference, score

FIGURES = ("em", "es", "id_em", "id_f1")


def report_of(
    benchmark: Benchmark, rows: Sequence[BenchmarkRow], results: Sequence[ArmResult], arms: Sequence[str]
) -> Report:
    """``{"arms": {arm: figures}, "differences": {"a - b": ...}}``; arms without answers are left out."""
    targets = {row.task_id: row.target for row in rows}
    scores: dict[str, dict[str, Score]] = {arm: {} for arm in arms}
    latencies: dict[str, list[float]] = {arm: [] for arm in arms}
    for result in results:
        if result.arm in scores and result.task_id in targets:
            target = targets[result.task_id]
            scores[result.arm][result.task_id] = score(benchmark.scorer, target, result.prediction)
            latencies[result.arm].append(result.latency_ms)
    present = [arm for arm in arms if scores[arm]]
    return {
        "arms": {arm: _figures(scores[arm], latencies[arm]) for arm in present},
        "differences": {f"{arm} - {present[0]}": _difference(scores, arm, present[0]) for arm in present[1:]},
    }


def _figures(scores: Mapping[str, Score], latencies_ms: Sequence[float]) -> Report:
    figures: Report = {"n": len(scores)}
    for name in FIGURES:
        mean = mean_of([getattr(one, name) for one in scores.values()])
        figures[name] = round(mean.value, 4)
        figures[f"{name}_interval"] = [round(mean.low, 4), round(mean.high, 4)]
    p50, p95 = np.percentile(latencies_ms, (50, 95))
    return figures | {"latency_ms": {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}}


def _difference(scores: Mapping[str, Mapping[str, Score]], arm: str, base: str) -> Report:
    """On the rows that both answered."""
    common = sorted(scores[arm].keys() & scores[base].keys())
    if not common:
        return {"n": 0}
    differences = {
        name: paired_difference(
            [getattr(scores[arm][task], name) for task in common],
            [getattr(scores[base][task], name) for task in common],
        )
        for name in FIGURES
    }
    right = {side: {task for task in common if scores[side][task].em} for side in (arm, base)}
    counts = {"wins": len(right[arm] - right[base]), "losses": len(right[base] - right[arm])}
    return {"n": len(common)} | counts | {name: asdict(mean) for name, mean in differences.items()}


def table_of(report: Report) -> Table:
    """The arms as a table."""
    table = Table("arm", "n", "EM", "95 %", "ES", "id EM", "id F1", "p50 ms", "p95 ms")
    for arm, figures in report["arms"].items():
        low, high = figures["em_interval"]
        table.add_row(
            arm,
            str(figures["n"]),
            f"{figures['em']:.3f}",
            f"{low:.3f} to {high:.3f}",
            *(f"{figures[name]:.3f}" for name in FIGURES[1:]),
            f"{figures['latency_ms']['p50']:.0f}",
            f"{figures['latency_ms']['p95']:.0f}",
        )
    return table


def markdown_of(report: Report) -> str:
    """The whole report as a page: setting, arms with intervals, differences to the first arm."""
    machine = report["machine"]
    lines = [
        f"# {report['benchmark']}, {report['half']}",
        "",
        f"{report['model']}, commit {report['commit']}, {machine['device_name']}, {report['at']}; "
        f"seed {report['seed']}, suffix {'shown' if report['suffix'] else 'not shown'}.",
        "",
        "| arm | rows | exact match | 95 % | edit similarity | identifiers: all, F1 | p50, p95 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, figures in report["arms"].items():
        (low, high), latency = figures["em_interval"], figures["latency_ms"]
        lines.append(
            f"| {arm} | {figures['n']} | {figures['em']:.3f} | {low:.3f} to {high:.3f} | {figures['es']:.3f} "
            f"| {figures['id_em']:.3f}, {figures['id_f1']:.3f} | {latency['p50']:.0f}, {latency['p95']:.0f} |"
        )
    lines += ["", "| difference | rows won, lost | exact match | 95 % | edit similarity | 95 % |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, change in report["differences"].items():
        if change["n"]:
            em, es = change["em"], change["es"]
            lines.append(
                f"| {name} | {change['wins']}, {change['losses']} | {em['value']:+.3f} "
                f"| {em['low']:+.3f} to {em['high']:+.3f} | {es['value']:+.3f} "
                f"| {es['low']:+.3f} to {es['high']:+.3f} |"
            )
    return "\n".join(lines) + "\n"

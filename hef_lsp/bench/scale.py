"""Whether an answer takes longer in a larger workspace: the same passages, typed in workspaces that grow.

Owns the workspaces and the ratio; typing and figures are `hef_lsp.bench.latency`'s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from hef_lsp.bench.figures import Report, setting_of
from hef_lsp.bench.index import standard_library
from hef_lsp.bench.latency import LatencyPlan, Say, measure_arm, passages_of
from hef_lsp.bench.source_lines import copy_lines

ARM = "text+memory"


@dataclass(frozen=True)
class ScalePlan:
    """`sizes` in lines, growing; files come from `source`, or the standard library. `typing` says how."""

    sizes: Sequence[int]
    typing: LatencyPlan
    source: Path | None = None


async def measure_scale(plan: ScalePlan, say: Say = lambda _: None) -> Report:
    """Raises what `hef_lsp.bench.latency.measure_latency` raises."""
    report: Report = setting_of("scale")
    report |= {"arm": ARM, "seed": plan.typing.seed, "settings": plan.typing.options}
    source = plan.source or standard_library()
    sizes: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="hef-lsp-bench-") as folder:
        smallest = Path(folder) / "0"
        for number, size in enumerate(plan.sizes):
            workspace = Path(folder) / str(number)
            say(f"{size} lines: copying")
            n_lines = copy_lines(source, workspace, size)
            # The smallest workspace's files begin every larger one.
            typed = passages_of(replace(plan.typing, workspace=smallest))
            moved = [replace(p, path=workspace / p.path.relative_to(smallest)) for p in typed]
            there = replace(plan.typing, workspace=workspace)
            cache = Path(folder) / f"cache-{number}"
            figures = await measure_arm(there, ARM, moved, cache, say)
            sizes.append({"lines": n_lines, **figures})
    report["sizes"] = sizes
    report["ratio_to_smallest"] = [_ratios(figures, sizes[0]) for figures in sizes]
    return report


def _ratios(figures: Report, base: Report) -> Report:
    return {
        kind: round(figures[kind]["p50_ms"] / base[kind]["p50_ms"], 3)
        for kind in ("all", "generated", "stored")
        if base[kind]["p50_ms"]
    }


def scale_table(report: Report) -> Table:
    """One row a size."""
    table = Table(title=f"{report['arm']} in workspaces that grow, {report['machine']['device_name']}")
    columns = ("lines", "answers", "from the store", "p50 ms", "generated p50", "p95", "to the smallest")
    for column in columns:
        table.add_column(column, justify="right")
    for figures, ratio in zip(report["sizes"], report["ratio_to_smallest"], strict=True):
        table.add_row(
            f"{figures['lines']:,}",
            str(figures["all"]["n"]),
            f"{figures['share_stored']:.0%}",
            f"{figures['all']['p50_ms']:.1f}",
            *(f"{figures['generated'][name]:.1f}" for name in ("p50_ms", "p95_ms")),
            f"{ratio['generated']:.2f}x" if "generated" in ratio else "",
        )
    return table

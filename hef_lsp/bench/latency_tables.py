"""The latency report as tables for the terminal. Figures are made in `hef_lsp.bench.latency`."""

from __future__ import annotations

from rich.table import Table

from hef_lsp.bench.figures import Report


def latency_table(report: Report) -> Table:
    """One row an arm: shares, percentiles, and the ratio to the arm without context."""
    table = Table(title=f"keystroke to item, {report['workspace']}, {report['machine']['device_name']}")
    table.add_column("context")
    columns = ("answers", "from the store", "shown", "accepted", "p50 ms", "p95 ms", "stored p95")
    for column in (*columns, "generated p50", "p95", "to none"):
        table.add_column(column, justify="right")
    for arm, figures in report["arms"].items():
        ratio = report["ratio_to_none"].get(arm)
        table.add_row(
            arm,
            str(figures["all"]["n"]),
            *(f"{figures[name]:.0%}" for name in ("share_stored", "share_shown", "share_accepted")),
            *(f"{figures['all'][name]:.1f}" for name in ("p50_ms", "p95_ms")),
            f"{figures['stored']['p95_ms']:.1f}",
            *(f"{figures['generated'][name]:.1f}" for name in ("p50_ms", "p95_ms")),
            f"{ratio['p50_ms']:.2f}x" if ratio else "",
        )
    return table


def stages_table(report: Report) -> Table:
    """One row a stage: p50 and p95 of each arm's generated answers."""
    table = Table(title="generated answers, p50 / p95: stages in ms, tokens, and after a cancel")
    table.add_column("stage")
    arms = report["arms"]
    for arm in arms:
        table.add_column(arm, justify="right")
    for stage in dict.fromkeys(name for figures in arms.values() for name in figures["stages"]):
        spreads = [figures["stages"].get(stage) for figures in arms.values()]
        cells = [f"{s['p50_ms']:.1f} / {s['p95_ms']:.1f}" if s else "" for s in spreads]
        table.add_row(stage.removesuffix("_ms"), *cells)
    prefilled = [figures["prefilled"] for figures in arms.values()]
    table.add_row("tokens prefilled", *(f"{n['p50']:.0f} / {n['p95']:.0f}" for n in prefilled))
    table.add_row("tokens a pass", *(f"{figures['tokens_a_pass']:.2f}" for figures in arms.values()))
    stops = [figures["stop"] for figures in arms.values()]
    table.add_row("stop", *(f"{stop['p50_ms']:.1f} / {stop['p95_ms']:.1f}" for stop in stops))
    return table


def rivals_table(report: Report) -> Table:
    """One row a rival: its times; each arm's p50 to its p50, of all answers and of generated ones."""
    table = Table(title="the usual ways at the same cursors; p50 of ours to theirs, all answers / generated")
    for column in ("rival", "p50 ms", "p95 ms", *report["arms"]):
        table.add_column(column, justify="left" if column == "rival" else "right")
    for name, spread in report["rivals"].items():
        ratios = report["ratio_to_rivals"].values()
        cells = [f"{r[f'all_to_{name}']:.3f} / {r[f'generated_to_{name}']:.3f}" for r in ratios]
        table.add_row(name, f"{spread['p50_ms']:.0f}", f"{spread['p95_ms']:.0f}", *cells)
    return table

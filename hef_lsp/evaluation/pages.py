"""Reports as tables on the terminal, and as pages in Markdown and HTML.

Owns what is shown and how it is laid out. Figures are `hef_lsp.evaluation.report`, pictures `plots`.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from hef_lsp.bench.figures import Report

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;"
    "text-align:right}td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


@dataclass(frozen=True)
class _Sheet:
    """A table: `header` and `rows` of as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def table_of(report: Report) -> Table:
    """The arms as a table."""
    sheet = _arms(report)
    table = Table(*sheet.header)
    for row in sheet.rows:
        table.add_row(*row)
    return table


def markdown_of(setting: Report, runs: Sequence[Report]) -> str:
    """All benchmarks' figures as one page; `setting` is what `hef-lsp eval` wrote before its runs."""
    parts = ["# Evaluation", "", _told(setting)]
    for run in runs:
        parts += ["", f"## {_title(run)}"]
        for sheet in _sheets(run):
            parts += ["", *_markdown(sheet)]
    return "\n".join(parts) + "\n"


def html_of(setting: Report, runs: Sequence[Report], pictures: Mapping[str, Sequence[str]]) -> str:
    """The same as a page of its own, with `pictures` (SVG) of each benchmark."""
    parts = [f"<h1>Evaluation</h1><p>{html.escape(_told(setting))}</p>"]
    for run in runs:
        parts.append(f"<h2>{html.escape(_title(run))}</h2>")
        parts += [_html(sheet) for sheet in _sheets(run)]
        parts += pictures.get(run["benchmark"], ())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>hef-lsp: evaluation</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _told(setting: Report) -> str:
    return (
        f"{setting['model']}, commit {setting['commit']}, {setting['machine']['device_name']}, "
        f"{setting['at']}; seed {setting['seed']}, suffix {'shown' if setting['suffix'] else 'not shown'}. "
        "Intervals are 95 % bootstrap. Harm: rows where the answer is less like the target, by over 0.1, "
        "than without context. Recovery: the part of text's gain in edit similarity that an arm has. Copied: "
        "rows whose target stands, letter for letter, elsewhere in the repository or above it in its file."
    )


def _title(run: Report) -> str:
    return f"{run['benchmark']}, {run['half']}"


def _sheets(run: Report) -> list[_Sheet]:
    return [_arms(run), _details(run), _differences(run)]


def _arms(run: Report) -> _Sheet:
    rows = []
    for arm, figures in run["arms"].items():
        latency = figures["latency_ms"]
        rows.append(
            (
                arm,
                str(figures["n"]),
                *(_with_interval(figures, name) for name in ("em", "es")),
                *(f"{figures[name]:.3f}" for name in ("id_em", "id_f1")),
                f"{latency['p50']:.0f}, {latency['p95']:.0f}",
            )
        )
    return _Sheet(("arm", "rows", "EM", "ES", "id EM", "id F1", "p50, p95 ms"), rows)


def _with_interval(figures: Report, name: str) -> str:
    low, high = figures[f"{name}_interval"]
    return f"{figures[name]:.3f} ({low:.3f} to {high:.3f})"


def _details(run: Report) -> _Sheet:
    rows = []
    for arm, figures in run["arms"].items():
        copied, new = figures["copied"], figures["new"]
        recovery = figures.get("recovery", {}).get("es")
        warm = figures.get("warm_ms")
        rows.append(
            (
                arm,
                f"{copied['em']:.3f} ({copied['n']})",
                f"{new['em']:.3f} ({new['n']})",
                f"{figures['harm']:.3f}" if "harm" in figures else "",
                "" if recovery is None else f"{recovery:.2f}",
                f"{warm['p50']:.0f}, {warm['p95']:.0f}" if warm else "",
            )
        )
    return _Sheet(("arm", "EM copied (rows)", "EM new (rows)", "harm", "recovery", "warm p50, p95 ms"), rows)


def _differences(run: Report) -> _Sheet:
    rows = []
    for name, change in run["differences"].items():
        if change["n"]:
            rows.append(
                (
                    name,
                    f"{change['wins']}, {change['losses']}",
                    f"{change['p']:.3f}",
                    *(_signed(change[figure]) if figure in change else "" for figure in ("em", "es", "harm")),
                )
            )
    return _Sheet(("difference", "rows won, lost", "p", "EM", "ES", "harm"), rows)


def _signed(mean: Mapping[str, float]) -> str:
    return f"{mean['value']:+.3f} ({mean['low']:+.3f} to {mean['high']:+.3f})"


def _markdown(sheet: _Sheet) -> list[str]:
    lines = [f"| {' | '.join(sheet.header)} |", "|---" * len(sheet.header) + "|"]
    return lines + [f"| {' | '.join(row)} |" for row in sheet.rows]


def _html(sheet: _Sheet) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in sheet.header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in sheet.rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"

"""How figures and explanations look in a terminal: rich when there is one, plain when piped.

Owns presentation only. Explanations come as the plain dict that `hef.explain` answers.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

Explained = dict[str, Any]


def figures_view(figures: dict[str, Any]) -> Table:
    """One figure a row."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), shown(value))
    return table


def shown(value: object) -> str:
    """Thousands with commas, mappings as a list of pairs, lists as sentences."""
    if isinstance(value, list | tuple):
        return "; ".join(map(shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def timings_line(explanation: Explained | None) -> str:
    """Stage timings on one line, those of a millisecond and more."""
    if not explanation:
        return "no timings"
    timings = explanation["timings"]
    stages = {name.removesuffix("_ms"): ms for name, ms in timings.items() if ms >= 1 and name != "total_ms"}
    return ", ".join(f"{name} {ms:.0f} ms" for name, ms in stages.items()) or "under 1 ms"


def explanation_view(explanation: Explained) -> RenderableType:
    """Which nodes, levels, scores and pseudo-tokens stood behind a suggestion."""
    counts = {
        "place": f"{explanation['path']}:{explanation['line'] + 1}",
        "context": explanation["mode"],
        "source": explanation["source"],
        "pseudo-tokens": explanation["n_pseudo_tokens"],
        "prompt tokens": explanation["n_prompt_tokens"],
        "reused from the cache": explanation["n_reused"],
        "prefilled": explanation["n_prefilled"],
        "read before": explanation.get("n_read_before", 0),
        "decoded": f"{explanation.get('n_decoded', 0)} in {explanation.get('n_forwards', 0)} passes",
        "timings": timings_line(explanation),
    }
    notes = [Text(str(note), style="yellow") for note in explanation.get("notes") or ()]
    return Group(figures_view(counts), *notes, _hits_table(explanation.get("hits") or ()))


def print_explanation(console: Console, explanation: Explained) -> None:
    """The same, on a console."""
    console.print(explanation_view(explanation))


def _hits_table(hits: Any) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("level", "place", "score", "dense", "lexical", "alike", "text"):
        table.add_column(column, justify="right" if column in {"score", "dense", "lexical"} else "left")
    for hit in hits:
        place = f"{hit['path']}:{hit['start_line'] + 1}-{hit['end_line']}" if hit["end_line"] else hit["path"]
        scores = [f"{hit[name]:.3f}" for name in ("score", "dense_score", "lexical_score")]
        alike = "yes" if hit.get("alike") else ""
        table.add_row(str(hit["kind"]).lower(), place, *scores, alike, _preview(hit.get("text", "")))
    return table


def _preview(text: str, width: int = 40) -> Text:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return Text(first[:width] + ("…" if len(first) > width else ""))

"""What a training run came to, as a page: figures by arm, and the losses on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_POINTS = 12
"""Of the losses that are shown."""


def page_of(told: Mapping[str, Any], metrics: Path) -> str:
    """Markdown; `told` is what `homecoming.bring_home` gives, `metrics` the run's JSON lines."""
    evaluation, provenance = told["evaluation"], told["provenance"]
    lines = [
        f"# A run of {told['generator']}",
        "",
        ", ".join(f"{name} {value}" for name, value in provenance.items() if value not in ("", None)),
        "",
        "| arm | exact match, by benchmark | nats a token |",
        "|---|---|---|",
    ]
    for arm, matches in evaluation.get("em", {}).items():
        nats = {
            name.removeprefix("nll_").removesuffix(f"_{arm}"): value
            for name, value in evaluation["nll"].items()
            if name.endswith(f"_{arm}")
        }
        lines.append(f"| {arm} | {_by_name(matches)} | {_by_name(nats)} |")
    lines += ["", f"`auto` would tell it: {evaluation.get('best_context', 'text')}.", ""]
    return "\n".join([*lines, *_losses(metrics)]) + "\n"


def _by_name(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in sorted(values.items()))


def _losses(metrics: Path) -> list[str]:
    if not metrics.is_file():
        return []
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if any(name.startswith("loss_") for name in row)]
    step = max(1, len(rows) // MOST_POINTS)
    names = sorted({name for row in rows for name in row if name.startswith("loss_")})
    lines = [f"| step | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in rows[::step]:
        cells = (f"{row[name]:.3f}" if name in row else "" for name in names)
        lines.append(f"| {row['step']} | {' | '.join(cells)} |")
    return lines

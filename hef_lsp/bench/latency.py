"""From keystroke to item over the real protocol, for each way of giving context.

Starts the real server, types lines of real files key by key, waits for each answer as an editor does,
and reports what that took, by arm and by stage. Owns the measuring; lines come from
`hef_lsp.bench.source_lines`, the editor is `hef_lsp.lsp_client`.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from hef_lsp.bench.figures import Report, Spread, setting_of
from hef_lsp.bench.source_lines import TypedLine, lines_to_type
from hef_lsp.lsp_client import EditorClient, editor_client

BASELINE = "none"
GENERATED, REFUSED = "generated", "refused"
CACHED = ("exact", "typed-through")
Say = Callable[[str], None]


class NothingToType(Exception):
    """The folder holds no line that could be typed."""


class ServerNotReady(Exception):
    """The server did not come to rest, so nothing can be measured."""


@dataclass(frozen=True)
class LatencyPlan:
    """What is typed, and with which server. `command` starts another server than our own."""

    workspace: Path
    arms: Sequence[str] = ("none", "text", "dense")
    n_files: int = 10
    n_keys: int = 12
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    command: Sequence[str] | None = None
    patience_s: float = 3600.0


@dataclass(frozen=True)
class KeyResult:
    """One key: time from didChange to the answer, where the answer came from, and its stages."""

    elapsed_ms: float
    source: str
    shown: bool
    stages_ms: dict[str, float]


async def measure_latency(plan: LatencyPlan, say: Say = lambda _: None) -> Report:
    """The whole report. Raises `NothingToType`, `ServerNotReady` or `lsp_client.ServerDied`."""
    lines = lines_to_type(plan.workspace, plan.n_files, plan.n_keys, plan.seed)
    if not lines:
        raise NothingToType(
            f"no source file in {plan.workspace} has a line of {plan.n_keys} characters; give another folder"
        )
    report: Report = setting_of("latency")
    report |= {
        "workspace": plan.workspace.name,
        "seed": plan.seed,
        "lines": len(lines),
        "keys_a_line": plan.n_keys,
        "settings": plan.options,
    }
    with tempfile.TemporaryDirectory(prefix="hef-lsp-bench-") as cache:
        arms = {arm: await _measure_arm(plan, arm, lines, Path(cache), say) for arm in plan.arms}
    report["arms"] = arms
    report["ratio_to_none"] = _ratios(arms)
    return report


async def _measure_arm(
    plan: LatencyPlan, arm: str, lines: Sequence[TypedLine], cache_dir: Path, say: Say
) -> Report:
    options = {**plan.options, "context": {**plan.options.get("context", {}), "mode": arm}}
    async with editor_client(plan.workspace, options, plan.command, cache_dir) as editor:
        say(f"{arm}: loading and indexing")
        status = await editor.wait_until_settled(plan.patience_s)
        if status.get("state") != "ready":
            raise ServerNotReady(
                f"the server is {status.get('state')}: {status.get('message') or 'no reason given'}"
            )
        results: list[KeyResult] = []
        for number, line in enumerate(lines, 1):
            say(f"{arm}: line {number} of {len(lines)}")
            results += await _type_line(editor, line)
    return {"index": status.get("index", {}), **summary_of(results)}


async def _type_line(editor: EditorClient, line: TypedLine) -> list[KeyResult]:
    uri = editor.open(line.path, line.shown, line.language)
    place, results = _utf16_length(line.typed_before), []
    before = await editor.command("hef.explain")
    for key in line.keys:
        began_s = time.perf_counter()
        editor.insert(uri, line.line, place, key)
        place += _utf16_length(key)
        items = await editor.inline_complete(uri, line.line, place, invoked=False)
        elapsed_ms = (time.perf_counter() - began_s) * 1000
        after = await editor.command("hef.explain")
        results.append(_key_result(elapsed_ms, bool(items), before, after))
        before = after
    editor.close(uri)
    return results


def _key_result(elapsed_ms: float, shown: bool, before: Any, after: Any) -> KeyResult:
    """The same explanation as before, to the last digit of its timings, means that none was made."""
    if not isinstance(after, dict) or after == before:
        return KeyResult(elapsed_ms, REFUSED, shown, {})
    return KeyResult(elapsed_ms, str(after.get("source")), shown, dict(after.get("timings") or {}))


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def summary_of(results: Sequence[KeyResult]) -> Report:
    """Percentiles by source and by stage; stages are of generated answers alone."""
    generated = [result for result in results if result.source == GENERATED]
    stages = sorted({name for result in generated for name in result.stages_ms})
    counts = Counter(result.source for result in results)
    total = max(1, len(results))
    return {
        "all": asdict(Spread.of([result.elapsed_ms for result in results])),
        "generated": asdict(Spread.of([result.elapsed_ms for result in generated])),
        "cached": asdict(Spread.of([r.elapsed_ms for r in results if r.source in CACHED])),
        "stages": {
            name: asdict(Spread.of([result.stages_ms.get(name, 0.0) for result in generated]))
            for name in stages
        },
        "sources": dict(counts),
        "share_of_cache_hits": round(sum(counts[source] for source in CACHED) / total, 4),
        "share_shown": round(sum(result.shown for result in results) / total, 4),
    }


def _ratios(arms: dict[str, Report]) -> Report:
    """Each arm's p50 and p95 of generated answers, divided by those of the arm without context."""
    base = arms.get(BASELINE, {}).get(GENERATED, {})
    if not base or not base["p50_ms"]:
        return {}
    return {
        arm: {name: round(report[GENERATED][name] / base[name], 3) for name in ("p50_ms", "p95_ms")}
        for arm, report in arms.items()
    }


def latency_table(report: Report) -> Table:
    """One row an arm: keys, shares, percentiles, and the ratio to the arm without context."""
    table = Table(title=f"keystroke to item, {report['workspace']}, {report['machine']['device_name']}")
    table.add_column("context")
    for column in ("keys", "cache hits", "shown", "p50 ms", "p95 ms", "generated p50", "p95", "to none"):
        table.add_column(column, justify="right")
    for arm, figures in report["arms"].items():
        ratio = report["ratio_to_none"].get(arm)
        table.add_row(
            arm,
            str(figures["all"]["n"]),
            f"{figures['share_of_cache_hits']:.0%}",
            f"{figures['share_shown']:.0%}",
            *(f"{figures['all'][name]:.1f}" for name in ("p50_ms", "p95_ms")),
            *(f"{figures[GENERATED][name]:.1f}" for name in ("p50_ms", "p95_ms")),
            f"{ratio['p50_ms']:.2f}x" if ratio else "",
        )
    return table


def stages_table(report: Report) -> Table:
    """One row a stage: p50 and p95 of each arm's generated answers."""
    table = Table(title="stages of generated answers, p50 / p95 ms")
    table.add_column("stage")
    arms = report["arms"]
    for arm in arms:
        table.add_column(arm, justify="right")
    for stage in dict.fromkeys(name for figures in arms.values() for name in figures["stages"]):
        spreads = [figures["stages"].get(stage) for figures in arms.values()]
        cells = [f"{s['p50_ms']:.1f} / {s['p95_ms']:.1f}" if s else "" for s in spreads]
        table.add_row(stage.removesuffix("_ms"), *cells)
    return table

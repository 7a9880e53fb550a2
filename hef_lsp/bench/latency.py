"""From keystroke to item over the real protocol, for each way of giving context.

Starts the real server, types passages of real files (`hef_lsp.bench.replay`) and reports what each answer
took, by arm and by stage. Owns the arms and the figures; tables are `hef_lsp.bench.latency_tables`, rivals
measured beside it `hef_lsp.bench.rivals`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hef_lsp.bench.figures import Report, Spread, percentiles, setting_of
from hef_lsp.bench.replay import REFUSED, Replay, Reply, TypingPlan, measure_stops, type_passage
from hef_lsp.bench.source_lines import Passage, passages_to_type
from hef_lsp.evaluation.arms import served_options
from hef_lsp.lsp_client import editor_client

BASELINE = "none"
GENERATED = "generated"
STORED = ("exact", "typed-through", "prefetched")
ARMS = ("none", "none+memory", "text", "text+memory", "dense", "dense+memory")
N_STOPS = 12
Say = Callable[[str], None]


class NothingToType(Exception):
    """The folder holds no passage that could be typed."""


@dataclass(frozen=True, kw_only=True)
class LatencyPlan(TypingPlan):
    """At one place of each of `n_files`, once for each arm."""

    arms: Sequence[str] = ARMS
    n_files: int = 5


async def measure_latency(plan: LatencyPlan, say: Say = lambda _: None) -> Report:
    """The whole report. Raises `NothingToType`, `ServerNotReady` or `ServerDied` of `lsp_client`."""
    passages = passages_of(plan)
    report: Report = setting_of("latency") | plan.named() | {"passages": len(passages)}
    with tempfile.TemporaryDirectory(prefix="hef-lsp-bench-") as cache:
        arms = {arm: await measure_arm(plan, arm, passages, Path(cache), say) for arm in plan.arms}
    report["arms"] = arms
    report["ratio_to_none"] = ratios(arms, BASELINE)
    return report


def passages_of(plan: LatencyPlan) -> list[Passage]:
    """What is typed. Raises `NothingToType`."""
    passages = passages_to_type(plan.workspace, plan.n_files, plan.n_lines, plan.seed)
    if not passages:
        raise NothingToType(
            f"no source file in {plan.workspace} has {plan.n_lines} lines of code in a row; "
            "give another folder"
        )
    return passages


async def measure_arm(
    plan: LatencyPlan, arm: str, passages: Sequence[Passage], cache_dir: Path, say: Say
) -> Report:
    """One server, one way of giving context, all passages."""
    async with editor_client(
        plan.workspace, options_of(arm, plan.options), plan.command, cache_dir
    ) as editor:
        say(f"{arm}: loading and indexing")
        status = await editor.wait_until_ready(plan.patience_s)
        replay = Replay()
        for number, passage in enumerate(passages, 1):
            say(f"{arm}: passage {number} of {len(passages)}")
            await type_passage(editor, passage, plan.pace, replay)
        stops_ms = await measure_stops(editor, passages[0], N_STOPS, plan.pace)
    return {"index": status.get("index", {}), **summary_of(replay), "stop": asdict(Spread.of(stops_ms))}


def options_of(arm: str, options: dict[str, Any]) -> dict[str, Any]:
    """Settings for the server. Raises UnknownArm for an arm that they cannot make."""
    return {**options, "context": {**options.get("context", {}), **served_options(arm)}}


def summary_of(replay: Replay) -> Report:
    """Percentiles by source and by stage; stages and counts are of generated answers alone."""
    replies = replay.replies
    answered = [reply for reply in replies if reply.source != REFUSED]
    generated = [reply for reply in replies if reply.source == GENERATED]
    stages = sorted({name for reply in generated for name in reply.stages_ms})
    counts = Counter(reply.source for reply in replies)
    n_stored = sum(counts[source] for source in STORED)
    return {
        "all": _spread(answered),
        "generated": _spread(generated),
        "stored": _spread([reply for reply in replies if reply.source in STORED]),
        "stages": {
            name: asdict(Spread.of([reply.stages_ms.get(name, 0.0) for reply in generated]))
            for name in stages
        },
        "prefilled": percentiles([reply.n_prefilled for reply in generated]),
        "tokens_a_pass": _ratio(
            sum(reply.n_decoded for reply in generated), sum(reply.n_forwards for reply in generated)
        ),
        "sources": dict(counts),
        "share_stored": _ratio(n_stored, len(answered)),
        "share_shown": _ratio(sum(reply.shown for reply in replies), len(replies)),
        "share_accepted": _ratio(replay.n_accepted, replay.n_characters),
    }


def _spread(replies: Sequence[Reply]) -> Report:
    return asdict(Spread.of([reply.elapsed_ms for reply in replies]))


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0


def ratios(arms: dict[str, Report], base_arm: str) -> Report:
    """Each arm's p50 and p95 of generated answers, divided by those of another arm."""
    base = arms.get(base_arm, {}).get(GENERATED, {})
    if not base or not base["p50_ms"]:
        return {}
    return {
        arm: {name: round(report[GENERATED][name] / base[name], 3) for name in ("p50_ms", "p95_ms")}
        for arm, report in arms.items()
    }

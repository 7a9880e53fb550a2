"""Whether the index gives way to the keys: the time of an answer while a first index runs, and at rest.

One server; passages are typed by turns beside an index that is made from nothing, again and again, and
beside one that is done, so that other work on the machine weighs on both. Typing is
`hef_lsp.bench.replay`'s. Answers from the store count, refusals do not. Without context from the workspace:
an index that is not there yet gives none, which makes prompts shorter and would flatter it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from hef_lsp.bench.figures import Report, Spread, setting_of
from hef_lsp.bench.latency import BASELINE, NothingToType, Say, options_of
from hef_lsp.bench.replay import REFUSED, Replay, TypingPlan, type_passage
from hef_lsp.bench.source_lines import Passage, passages_to_type
from hef_lsp.lsp_client import EditorClient, editor_client

READING = ("opening", "scanning", "updating")
"""States in which the writer reads, cuts and embeds; fusing waits while someone types."""
POLL_S = 0.1
MOST_RATIO = 1.5


@dataclass(frozen=True, kw_only=True)
class YieldingPlan(TypingPlan):
    """`n_turns` passages at rest, and as many beside the index."""

    n_turns: int = 6


@dataclass
class Watch:
    """What was seen of the index while it was made: looks, those that found it at work, and beginnings."""

    n_looks: int = 0
    n_working: int = 0
    n_begun: int = 0


async def measure_yielding(plan: YieldingPlan, say: Say = lambda _: None) -> Report:
    """Raises `NothingToType`, and `ServerNotReady` or `ServerDied` of `lsp_client`."""
    passages = passages_to_type(plan.workspace, 2 * plan.n_turns, plan.n_lines, plan.seed)
    if len(passages) < 2:
        raise NothingToType(f"{plan.workspace} has too few lines to type; give another folder")
    idle, indexing, watch = Replay(), Replay(), Watch()
    options = options_of(BASELINE, plan.options)
    with tempfile.TemporaryDirectory(prefix="hef-lsp-bench-") as cache:
        async with editor_client(plan.workspace, options, plan.command, Path(cache)) as editor:
            for number, passage in enumerate(passages):
                say(f"passage {number + 1} of {len(passages)}")
                if number % 2:
                    async with _first_index(editor, watch):
                        await type_passage(editor, passage, plan.pace, indexing)
                else:
                    await _type_at_rest(editor, passage, plan, idle)
    report: Report = setting_of("yielding") | plan.named()
    report |= {"settings": options, "passages": len(passages)}
    return report | figures_of(idle, indexing, watch)


async def _type_at_rest(editor: EditorClient, passage: Passage, plan: YieldingPlan, replay: Replay) -> None:
    await editor.wait_until_ready(plan.patience_s)
    await type_passage(editor, passage, plan.pace, replay)


@asynccontextmanager
async def _first_index(editor: EditorClient, watch: Watch) -> AsyncIterator[None]:
    """Within, the index is made from nothing, and again as soon as it is done."""
    task = asyncio.create_task(_keep_making(editor, watch))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task  # what went wrong beside the typing is raised here


async def _keep_making(editor: EditorClient, watch: Watch) -> None:
    while True:
        status = await editor.command("hef.status")
        states = {folder["state"] for folder in status.get("folders", ())}
        watch.n_looks += 1
        if states & set(READING):
            watch.n_working += 1
        else:
            watch.n_begun += 1
            await editor.command("hef.reindex")
        await asyncio.sleep(POLL_S)


def figures_of(idle: Replay, indexing: Replay, watch: Watch) -> Report:
    """`ratio` is that of the 95th percentiles."""
    at_rest, beside = _spread(idle), _spread(indexing)
    return {
        "idle": asdict(at_rest),
        "indexing": asdict(beside),
        "ratio": round(beside.p95_ms / at_rest.p95_ms, 3) if at_rest.p95_ms else 0.0,
        "indexes_begun": watch.n_begun,
        "share_at_work": round(watch.n_working / watch.n_looks, 3) if watch.n_looks else 0.0,
    }


def _spread(replay: Replay) -> Spread:
    return Spread.of([reply.elapsed_ms for reply in replay.replies if reply.source != REFUSED])


def yielding_table(report: Report) -> Table:
    """Both spreads and the ratio, which should stay below `MOST_RATIO`."""
    title = (
        f"beside {report['indexes_begun']} first indexes, at work {report['share_at_work']:.0%} of the time"
    )
    table = Table(title=title)
    for column in ("", "answers", "p50 ms", "p95 ms", "most ms"):
        table.add_column(column, justify="right" if column else "left")
    for name, spread in (("idle", report["idle"]), ("a first index runs", report["indexing"])):
        figures = (f"{spread[key]:.1f}" for key in ("p50_ms", "p95_ms", "max_ms"))
        table.add_row(name, str(spread["n"]), *figures)
    table.add_row(f"ratio (at most {MOST_RATIO} is wanted)", "", "", f"{report['ratio']:.2f}", "")
    return table

"""Hours of an editor's life in a copy of a workspace: typing, offers taken, requests withdrawn, files saved.

Owns the rounds, and what is compared: the server's resident memory after the warm-up with that at the end,
and the time of answers in the first quarter after the warm-up with that in the last. Typing is
`hef_lsp.bench.replay`'s.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.table import Table

from hef_lsp.bench.figures import Report, Spread, setting_of
from hef_lsp.bench.latency import NothingToType, Say
from hef_lsp.bench.replay import REFUSED, Replay, TypingPlan, measure_stops, type_passage
from hef_lsp.bench.source_lines import MAX_FILE_BYTES, Passage, passages_to_type, source_tree
from hef_lsp.lsp_client import EditorClient, editor_client

WARM_UP_SHARE = 0.2
N_STOPS = 2
PASSAGES_A_ROUND = 8
SAMPLE_EVERY_S, LEAST_SAMPLES = 2.0, 100


@dataclass(frozen=True, kw_only=True)
class SoakPlan(TypingPlan):
    """In a copy of the workspace, one place after the other, for so long."""

    minutes: float


@dataclass(frozen=True)
class Sample:
    """Seconds since the start, the server's resident bytes, its threads and open files, and how many
    requests there were so far."""

    at_s: float
    rss_bytes: int
    n_threads: int
    n_files: int
    n_replies: int


async def measure_soak(plan: SoakPlan, say: Say = lambda _: None) -> Report:
    """Raises `NothingToType`, and `ServerNotReady` or `ServerDied` of `lsp_client`."""
    replay, samples = Replay(), list[Sample]()
    with tempfile.TemporaryDirectory(prefix="hef-lsp-soak-") as folder:
        workspace = Path(folder) / "workspace"
        _copy(plan.workspace, workspace)
        async with editor_client(workspace, plan.options, plan.command, Path(folder) / "cache") as editor:
            say("loading and indexing")
            await editor.wait_until_ready(plan.patience_s)
            await _live(plan, workspace, editor, replay, samples, say)
    report: Report = setting_of("soak") | plan.named() | {"minutes": plan.minutes}
    return report | figures_of(replay, samples)


def _copy(source: Path, target: Path) -> None:
    """What the index would read: saves must not touch the user's files."""
    for file in source_tree(source).scan():
        place = target / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.size <= MAX_FILE_BYTES:
            shutil.copyfile(source / file.path, place)


async def _live(
    plan: SoakPlan, workspace: Path, editor: EditorClient, replay: Replay, samples: list[Sample], say: Say
) -> None:
    watch = asyncio.create_task(_watch(plan, editor, replay, samples, say))
    n_rounds = 0
    try:
        while not watch.done():
            passages = passages_to_type(workspace, PASSAGES_A_ROUND, plan.n_lines, plan.seed + n_rounds)
            if not passages:
                raise NothingToType(f"{plan.workspace} has no lines to type; give another folder")
            n_rounds += 1
            for passage in passages:
                await type_passage(editor, passage, plan.pace, replay)
                await measure_stops(editor, passage, N_STOPS, plan.pace)
                _save(editor, passage, n_rounds)
                if watch.done():
                    break
        await watch
    finally:
        watch.cancel()


async def _watch(
    plan: SoakPlan, editor: EditorClient, replay: Replay, samples: list[Sample], say: Say
) -> None:
    """Samples beside the typing, until the time is over."""
    server, began_s = psutil.Process(editor.process.pid), time.monotonic()
    while time.monotonic() - began_s < plan.minutes * 60:
        await asyncio.sleep(min(SAMPLE_EVERY_S, plan.minutes * 60 / LEAST_SAMPLES))
        samples.append(_sample(server, began_s, replay))
        say(f"{samples[-1].at_s / 60:.1f} of {plan.minutes:g} minutes, {samples[-1].rss_bytes >> 20} MiB")


def _save(editor: EditorClient, passage: Passage, number: int) -> None:
    """The file as it was typed, with one word that no version of it had."""
    ending = passage.lines[-1] + f"  # {number}"
    lines = (*passage.lines[:-1], ending)
    passage.path.write_text(passage.before + "\n".join(lines) + passage.after, encoding="utf-8", newline="")
    editor.file_changed(passage.path)


def _sample(server: psutil.Process, began_s: float, replay: Replay) -> Sample:
    with server.oneshot():
        n_files = server.num_fds() if hasattr(server, "num_fds") else 0
        rss, threads = server.memory_info().rss, server.num_threads()
    return Sample(time.monotonic() - began_s, rss, threads, n_files, len(replay.replies))


def figures_of(replay: Replay, samples: Sequence[Sample]) -> Report:
    """Memory is the median of a tenth of the samples, so that no single collection decides."""
    end_s = samples[-1].at_s
    warm_s = WARM_UP_SHARE * end_s
    quarter_s = (end_s - warm_s) / 4
    warm = [sample for sample in samples if sample.at_s >= warm_s]
    first = _between(replay, samples, warm_s, warm_s + quarter_s)
    last = _between(replay, samples, end_s - quarter_s, end_s)
    n_parts = max(1, len(warm) // 10)
    at_warm, at_end = _median_bytes(warm[:n_parts]), _median_bytes(warm[-n_parts:])
    return {
        "requests": len(replay.replies),
        "samples_taken": len(samples),
        "mib_after_warm_up": round(at_warm / 2**20, 1),
        "mib_at_end": round(at_end / 2**20, 1),
        "memory_ratio": round(at_end / at_warm, 4),
        "threads": [warm[0].n_threads, samples[-1].n_threads],
        "open_files": [warm[0].n_files, samples[-1].n_files],
        "first_quarter": asdict(first),
        "last_quarter": asdict(last),
        "p95_ratio": round(last.p95_ms / first.p95_ms, 3) if first.p95_ms else 0.0,
        "samples": [[round(s.at_s), s.rss_bytes >> 20] for s in samples[:: max(1, len(samples) // 60)]],
    }


def _median_bytes(samples: Sequence[Sample]) -> int:
    return sorted(sample.rss_bytes for sample in samples)[len(samples) // 2]


def _between(replay: Replay, samples: Sequence[Sample], begin_s: float, end_s: float) -> Spread:
    """Of the answers that came in this time."""
    values: list[float] = []
    before = 0
    for sample in samples:
        if begin_s <= sample.at_s <= end_s:
            part = replay.replies[before : sample.n_replies]
            values += [reply.elapsed_ms for reply in part if reply.source != REFUSED]
        before = sample.n_replies
    return Spread.of(values)


def soak_table(report: Report) -> Table:
    """What should not grow: at the warm-up's end, at the end, and the ratio."""
    table = Table(title=f"{report['minutes']:g} minutes, {report['requests']} requests")
    for column in ("", "after the warm-up", "at the end", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row(
        "resident MiB",
        f"{report['mib_after_warm_up']:.0f}",
        f"{report['mib_at_end']:.0f}",
        f"{report['memory_ratio']:.3f}",
    )
    first, last = report["first_quarter"], report["last_quarter"]
    table.add_row("p50 ms", f"{first['p50_ms']:.1f}", f"{last['p50_ms']:.1f}", "")
    table.add_row("p95 ms", f"{first['p95_ms']:.1f}", f"{last['p95_ms']:.1f}", f"{report['p95_ratio']:.3f}")
    for name in ("threads", "open_files"):
        table.add_row(name.replace("_", " "), *map(str, report[name]), "")
    return table

"""Lines of one's own repository, hidden and asked for: what the server would have written.

Owns the choice of lines and the talk with the real server over the real protocol. Each line is taken out of
its file in the editor, and the index has followed before the server is asked for it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hef_lsp.bench.latency import options_of
from hef_lsp.bench.replay import utf16_length
from hef_lsp.bench.source_lines import Passage, passages_to_type, source_tree
from hef_lsp.evaluation.report import report_of
from hef_lsp.evaluation.runner import ArmResult
from hef_lsp.evaluation.subsets import KnownLines
from hef_lsp.lsp_client import EditorClient, editor_client
from hef_lsp.settings import LONGEST_DEADLINE_MS, IndexSettings, ModelSettings
from hef_lsp.text_lines import indent_of
from indexer.source_files import FileChange, Rejected, SourceTree
from model.evaluation.benchmarks import BenchmarkRow
from model.evaluation.metrics import repocoder

MOST_ROUNDS = 20
ONE_ANSWER = {"deadline_ms": LONGEST_DEADLINE_MS, "alternatives": 1}
PATIENCE_S = 3600.0
SETTLING_S = 2 * IndexSettings().quiet_ms / 1000
"""After a change the index waits, and says that it is at rest meanwhile."""


class NothingToHide(Exception):
    """The folder holds no line of code that could be asked for."""


@dataclass(frozen=True)
class OwnPlan:
    """What is asked for, and of which server; `command` starts another one than our own."""

    folder: Path
    arms: Sequence[str]
    n_lines: int
    seed: int
    model: ModelSettings
    against: Sequence[str] = ()
    command: Sequence[str] | None = None


async def measure_own_lines(plan: OwnPlan, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """What `report_of` gives, with the `model`. Raises NothingToHide, ServerNotReady or ServerDied."""
    passages = lines_to_hide(plan.folder, plan.n_lines, plan.seed)
    tree = source_tree(plan.folder)
    known = KnownLines(_texts(tree))
    rows = [_row(tree.root, passage) for passage in passages]
    results: list[ArmResult] = []
    model_id = ""
    with tempfile.TemporaryDirectory(prefix="hef-lsp-eval-") as cache:
        for arm in plan.arms:
            given = {"model": asdict(plan.model), "completion": ONE_ANSWER}
            options = options_of(arm, given)
            async with editor_client(plan.folder, options, plan.command, Path(cache)) as editor:
                say(f"{arm}: loading and indexing")
                status = await editor.wait_until_ready(PATIENCE_S)
                model_id = str(status.get("model") or "")
                for number, (passage, row) in enumerate(zip(passages, rows, strict=True), 1):
                    say(f"{arm}: line {number} of {len(rows)}")
                    answer, elapsed_ms = await _ask(editor, passage)
                    copied = known.has_target_of(row)
                    results.append(ArmResult(row.task_id, arm, answer, elapsed_ms, copied=copied))
    figures = report_of(repocoder, rows, results, plan.arms, plan.against)
    return {"benchmark": plan.folder.name, "half": "own lines", "model": model_id, **figures}


def lines_to_hide(folder: Path, n_lines: int, seed: int) -> list[Passage]:
    """At most so many, from as many files as there are; the same for the same folder and seed."""
    found: dict[tuple[Path, int], Passage] = {}
    for turn in range(MOST_ROUNDS):
        for passage in passages_to_type(folder, n_lines - len(found), 1, seed + turn):
            found.setdefault((passage.path, passage.first_line), passage)
        if len(found) == n_lines:
            break
    if not found:
        raise NothingToHide(f"no source file in {folder} has a line to hide; give another folder")
    return list(found.values())


def _texts(tree: SourceTree) -> Iterator[tuple[str, str]]:
    for scanned in tree.scan():
        source = tree.read(FileChange(scanned.path))
        if not isinstance(source, Rejected):
            yield source.path, source.text


def _row(root: Path, passage: Passage) -> BenchmarkRow:
    path, line = passage.path.relative_to(root).as_posix(), passage.lines[0]
    task = f"{path}:{passage.first_line + 1}"
    return BenchmarkRow(task, root.name, path, passage.before + indent_of(line), passage.after, line.strip())


async def _ask(editor: EditorClient, passage: Passage) -> tuple[str, float]:
    """The first suggestion where the line stood, and how long it took, in milliseconds."""
    indent = indent_of(passage.lines[0])
    uri = editor.open(passage.path, passage.before + indent + passage.after, passage.language)
    try:
        await asyncio.sleep(SETTLING_S)
        await editor.wait_until_ready(PATIENCE_S)
        began_s = time.perf_counter()
        offers = await editor.inline_complete(uri, passage.first_line, utf16_length(indent))
        elapsed_ms = (time.perf_counter() - began_s) * 1000
    finally:
        editor.close(uri)
    return (offers[0].partition("\n")[0] if offers else ""), round(elapsed_ms, 1)

"""How long a first index takes, and what one changed file costs, in workspaces of growing size.

Owns the measuring, in one process and without a protocol. Workspaces are real source files copied to
a temporary folder; models come loaded and are not part of what is timed.
"""

from __future__ import annotations

import dataclasses
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hef_lsp.bench.figures import Report, Spread, setting_of
from hef_lsp.bench.source_lines import copy_lines, spread_over
from hef_lsp.scheduling import InferenceLane
from hef_lsp.settings import IndexSettings, Settings
from hef_lsp.workspace import WorkspaceFolder
from indexer.source_files import FileChange

if TYPE_CHECKING:
    from model.bundle import ModelBundle

COUNTERS = ("embedded", "encoded", "fused")
Say = Callable[[str], None]


class IndexFailed(Exception):
    """The index could not be made, so nothing can be measured."""


@dataclass(frozen=True)
class IndexPlan:
    """`sizes` in lines. `n_updates` files are changed by one line each, one after the other."""

    sizes: Sequence[int] = (1_000, 10_000, 100_000)
    source: Path | None = None
    n_updates: int = 5
    fuse: bool = True
    patience_s: float = 3600.0


def standard_library() -> Path:
    """The sources of the interpreter's own library, which every machine has."""
    return Path(sysconfig.get_paths()["stdlib"])


def measure_index(
    plan: IndexPlan, models: ModelBundle, lane: InferenceLane, say: Say = lambda _: None
) -> Report:
    """The whole report. Raises `IndexFailed`."""
    source = plan.source or standard_library()
    report: Report = setting_of("index")
    report |= {"source": source.name, "fuse": plan.fuse, "embedder": models.embedder.model_id}
    report["fuser"] = models.fuser.model_id if plan.fuse and models.fuser is not None else None
    report["sizes"] = []
    for n_lines in plan.sizes:
        with tempfile.TemporaryDirectory(prefix="hef-lsp-bench-") as base:
            say(f"{n_lines:,} lines: copying")
            root = Path(base).resolve() / "workspace"
            root.mkdir()
            n_copied = copy_lines(source, root, n_lines)
            say(f"{n_copied:,} lines: indexing")
            report["sizes"].append({"lines": n_copied, **_measure_size(plan, root, models, lane)})
    return report


def _measure_size(plan: IndexPlan, root: Path, models: ModelBundle, lane: InferenceLane) -> Report:
    # Without quiet time: what is timed is the work, not the waiting for more changes.
    index = dataclasses.replace(IndexSettings(), quiet_ms=0, fuse=plan.fuse)
    clock = _StateClock()
    folder = WorkspaceFolder(root, Settings(index=index), root.parent / "cache", lane, clock.note)
    try:
        began_s = time.perf_counter()
        folder.attach_models(models)
        status = _settled(folder, plan)
        whole_s = time.perf_counter() - began_s
        searchable_s = clock.left("scanning", began_s) or whole_s
        updates = [_measure_update(folder, plan, file) for file in _files_to_change(root, plan.n_updates)]
    finally:
        folder.close()
    return {"first": _first_figures(status, searchable_s, whole_s, root), "update": _update_figures(updates)}


class _StateClock:
    """When the folder left each state for the first time; told by the writer thread."""

    def __init__(self) -> None:
        self._state = ""
        self._left_s: dict[str, float] = {}

    def note(self, report: dict[str, Any]) -> None:
        if report["state"] != self._state:
            self._left_s.setdefault(self._state, time.perf_counter())
            self._state = report["state"]

    def left(self, state: str, began_s: float) -> float | None:
        left_s = self._left_s.get(state)
        return None if left_s is None else left_s - began_s


def _settled(folder: WorkspaceFolder, plan: IndexPlan) -> Report:
    idle = folder.wait_idle(plan.patience_s)
    status = folder.status()
    if not idle or status["state"] == "error":
        raise IndexFailed(f"the index is {status['state']}: {status['message'] or 'it did not end in time'}")
    return status


def _files_to_change(root: Path, count: int) -> list[Path]:
    return spread_over(sorted(path for path in root.rglob("*") if path.is_file()), count)


def _measure_update(folder: WorkspaceFolder, plan: IndexPlan, file: Path) -> Report:
    """One line goes into the middle of `file`."""
    before = folder.status()
    lines = file.read_text(encoding="utf-8").split("\n")
    lines.insert(len(lines) // 2, f"hef_lsp_bench_line = {len(lines)}")
    file.write_text("\n".join(lines), encoding="utf-8", newline="")
    began_s = time.perf_counter()
    folder.notify([FileChange(file.relative_to(folder.root).as_posix())])
    after = _settled(folder, plan)
    elapsed_ms = (time.perf_counter() - began_s) * 1000
    return {"elapsed_ms": elapsed_ms, **{name: after.get(name, 0) - before.get(name, 0) for name in COUNTERS}}


def _first_figures(status: Report, searchable_s: float, whole_s: float, root: Path) -> Report:
    n_lines = sum(path.read_bytes().count(b"\n") for path in root.rglob("*") if path.is_file())
    names = ("files", "chunks", "nodes", *COUNTERS, "bytes_on_disk", "bytes_in_memory", "store")
    return {
        "searchable_s": round(searchable_s, 3),
        "whole_s": round(whole_s, 3),
        "lines_a_second_searchable": round(n_lines / searchable_s),
        "lines_a_second_whole": round(n_lines / whole_s),
        **{name: status[name] for name in names if name in status},
    }


def _update_figures(updates: Sequence[Report]) -> Report:
    most = {name: max((update[name] for update in updates), default=0) for name in COUNTERS}
    return {
        **asdict(Spread.of([update["elapsed_ms"] for update in updates])),
        **{f"most_{name}": count for name, count in most.items()},
    }


def index_table(report: Report) -> Table:
    """One row a size."""
    table = Table(title=f"index of {report['source']}, {report['machine']['device_name']}")
    columns = (
        "lines",
        "files",
        "chunks",
        "nodes",
        "searchable s",
        "lines/s",
        "whole s",
        "lines/s",
        "update p50 ms",
    )
    for column in (*columns, "embedded", "encoded", "fused"):
        table.add_column(column, justify="right")
    for size in report["sizes"]:
        first, update = size["first"], size["update"]
        table.add_row(
            *(
                f"{value:,}"
                for value in (size["lines"], *(first.get(n, 0) for n in ("files", "chunks", "nodes")))
            ),
            f"{first['searchable_s']:.2f}",
            f"{first['lines_a_second_searchable']:,}",
            f"{first['whole_s']:.2f}",
            f"{first['lines_a_second_whole']:,}",
            f"{update['p50_ms']:.0f}",
            *(str(update[f"most_{name}"]) for name in COUNTERS),
        )
    return table

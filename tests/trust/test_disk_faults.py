"""A disk that is full, refuses, is locked or breaks, at each step in turn and until it is well again: the
server says so, works on, and then equals a rebuild.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_rig import PATIENCE_S, change, picture_of, plant, rebuilt, same, serving, settled
from fault_steps import Steps, broken_disk, busy, denied, no_space, stepping
from tally import FULL, Row, count

from indexer.source_files import FileChange

SHORT = 5
FAULTS = {"full": no_space, "denied": denied, "busy": busy, "broken": broken_disk}


def spread(n_steps: int) -> list[int]:
    if FULL or n_steps <= SHORT:
        return list(range(1, n_steps + 1))
    return sorted({1 + number * (n_steps - 1) // (SHORT - 1) for number in range(SHORT)})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_first_index_outlives(fault: str, tmp_path: Path) -> None:
    plant(tmp_path / "root")
    wanted = rebuilt(tmp_path / "root", tmp_path / "scratch")
    for step in spread(_n_steps(tmp_path, update=False)):
        cache = tmp_path / f"cache-{step}"
        _break(tmp_path / "root", cache, FAULTS[fault], step, wanted, update=False)
        shutil.rmtree(cache, ignore_errors=True)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_update_outlives(fault: str, tmp_path: Path) -> None:
    plant(tmp_path / "root")
    shutil.copytree(tmp_path / "root", tmp_path / "before")
    n_steps = _n_steps(tmp_path, update=True)
    change(tmp_path / "root")
    wanted = rebuilt(tmp_path / "root", tmp_path / "scratch")
    for step in spread(n_steps):
        shutil.rmtree(tmp_path / "root")
        shutil.copytree(tmp_path / "before", tmp_path / "root")
        cache = tmp_path / f"cache-{step}"
        _break(tmp_path / "root", cache, FAULTS[fault], step, wanted, update=True)
        shutil.rmtree(cache, ignore_errors=True)


def _n_steps(base: Path, update: bool) -> int:
    steps = Steps(lambda name: None, lambda number: False)
    with stepping(base / "counted", steps, reads=True), serving(base / "root", base / "counted") as folder:
        settled(folder)
        if update:
            steps.names.clear()
            folder.notify(change(base / "root"))
            settled(folder)
    return len(steps.names)


def _break(
    root: Path, cache: Path, act: Callable[[str], None], step: int, wanted: dict[str, object], update: bool
) -> None:
    """From `step` on everything fails until the disk is mended; then one change comes, as a user's next."""
    counting_from_s = not update
    steps = Steps(act, lambda number: counting_from_s and number >= step)
    with stepping(cache, steps, reads=True), serving(root, cache) as folder:
        if update:
            settled(folder)
            steps.names.clear()
            counting_from_s = True
            folder.notify(change(root))
        assert folder.wait_idle(PATIENCE_S), folder.status()
        count(Row.FAULTS_INJECTED)
        steps.end()
        folder.notify([FileChange("a.py")])
        settled(folder)
        same(picture_of(folder), wanted)
    count(Row.FAULTS_SURVIVED)

"""`kill -9` at each step of a first index and of an update: the next start equals a rebuild."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_rig import change, check_survived, plant, rebuilt, serving, settled
from fault_steps import DIED
from tally import FULL, Row, count

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
SHORT = 8
"""Steps of each scenario at which the short form kills."""


class Killer:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, scenario: str, root: Path, cache: Path, step: int) -> dict[str, Any]:
        order = {"scenario": scenario, "root": str(root), "cache": str(cache), "step": step}
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    command = [sys.executable, str(Path(__file__).with_name("kill_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()


def spread(n_steps: int) -> list[int]:
    """All steps, or some at even distances with the first and the last."""
    if FULL or n_steps <= SHORT:
        return list(range(1, n_steps + 1))
    return sorted({1 + number * (n_steps - 1) // (SHORT - 1) for number in range(SHORT)})


@pytest.mark.parametrize("scenario", ["first index", "update"])
def test_killed_at_any_step_the_next_start_equals_a_rebuild(
    scenario: str, killer: Killer, tmp_path: Path
) -> None:
    plant(tmp_path / "root")
    if scenario == "update":
        with serving(tmp_path / "root", tmp_path / "cache") as folder:
            settled(folder)
    whole = trial(tmp_path, "whole")
    names = killer.run(scenario, whole / "root", whole / "cache", 0)["names"]
    assert len(names) > 40 and any("save memory" in name for name in names)
    if scenario == "update":
        change(whole / "root")
    wanted = rebuilt(whole / "root", tmp_path / "scratch")
    for step in spread(len(names)):
        place = trial(tmp_path, f"killed-{step}")
        count(Row.FAULTS_INJECTED)
        # Threads may take a few steps less than in the counted run; then the child lived, which is no fault.
        died = killer.run(scenario, place / "root", place / "cache", step)["code"]
        assert died == DIED or step > len(names) - 5, (step, died, names[step - 1])
        if scenario == "update":
            change(place / "root")
        check_survived(place / "root", place / "cache", wanted)
        count(Row.FAULTS_SURVIVED)
        shutil.rmtree(place)


def trial(base: Path, name: str) -> Path:
    """Copies of the workspace and of its index, if it has one, at the paths that one run uses alone."""
    place = base / name
    shutil.copytree(base / "root", place / "root")
    if (base / "cache").exists():
        shutil.copytree(base / "cache", place / "cache")
        _readdress(place / "cache", base / "root", place / "root")
    return place


def _readdress(cache: Path, was: Path, now: Path) -> None:
    """Indexes lie under a hash of their workspace's path."""
    from hef_lsp.index_directory import _candidates

    old, new = next(_candidates(cache, was, "")), next(_candidates(cache, now, ""))
    old.rename(new)

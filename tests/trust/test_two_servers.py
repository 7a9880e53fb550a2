"""Two servers on one workspace: one writes, the other reads the same index, follows it, and takes over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_rig import PATIENCE_S, change, module, picture, picture_of, plant, rebuilt, same, serving, settled
from tally import Row, count

from hef_lsp.workspace import WorkspaceFolder
from indexer.source_files import FileChange


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("hef_lsp.workspace.FOLLOW_EVERY_S", 0.05)
    plant(tmp_path / "root")
    return tmp_path


def eventually(condition: Callable[[], bool], folder: WorkspaceFolder) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, folder.status()
        time.sleep(0.01)


@contextmanager
def two_servers(base: Path) -> Iterator[tuple[WorkspaceFolder, WorkspaceFolder]]:
    """The first has its index before the second starts: else either may be the one that writes."""
    with serving(base / "root", base / "cache") as first:
        settled(first)
        with serving(base / "root", base / "cache") as second:
            settled(second)
            yield first, second


def generation_of(folder: WorkspaceFolder) -> int:
    view = folder.view()
    return -1 if view is None else view.generation


def test_the_second_reads_what_the_first_wrote_and_follows_it(base: Path) -> None:
    with serving(base / "root", base / "cache") as first:
        settled(first)
        with serving(base / "root", base / "cache") as second:
            assert settled(second)["read_only"] and "another server" in second.status()["notes"][0]
            same(picture_of(second), rebuilt(base / "root", base / "scratch"))
            first.notify(change(base / "root"))
            settled(first)
            eventually(lambda: generation_of(second) == generation_of(first), second)
            settled(second)
            same(picture_of(second), rebuilt(base / "root", base / "scratch"))
            assert len(list((base / "cache").glob("*.lock"))) == 1, "it made an index of its own"


def test_the_second_takes_over_when_the_first_ends(base: Path) -> None:
    count(Row.FAULTS_INJECTED)
    with serving(base / "root", base / "cache") as first:
        settled(first)
        second_session = serving(base / "root", base / "cache")
        second = second_session.__enter__()
        settled(second)
        second.overlay("a.py", module("unsaved"))
    try:
        eventually(lambda: not second.status().get("read_only", True), second)
        assert not settled(second)["notes"]
        view = second.view()
        assert view is not None and "unsaved_0" in view.file_chunks("a.py")[0].text
        second.overlay("a.py", None)
        second.notify(change(base / "root"))
        settled(second)
        same(picture_of(second), rebuilt(base / "root", base / "scratch"))
    finally:
        second_session.__exit__(None, None, None)
    count(Row.FAULTS_SURVIVED)


def test_the_first_making_its_index_anew_is_followed(base: Path) -> None:
    count(Row.FAULTS_INJECTED)
    with two_servers(base) as (first, second):
        second.reindex()  # not its to drop
        settled(second)
        (base / "root" / "new.py").write_text(module("afresh"))
        first.reindex()
        settled(first)
        eventually(lambda: len(view.files) == 9 if (view := second.view()) else False, second)
        settled(second)
        same(picture_of(second), rebuilt(base / "root", base / "scratch"))
    count(Row.FAULTS_SURVIVED)


def test_an_older_view_of_the_second_stays_whole(base: Path) -> None:
    with two_servers(base) as (first, second):
        held = second.view()
        assert held is not None
        before = picture(held)
        first.notify([*change(base / "root"), FileChange("a.py")])
        settled(first)
        eventually(lambda: generation_of(second) > held.generation, second)
        after = picture(held)
        assert after["nodes"] == before["nodes"] and after["chunks"] == before["chunks"]

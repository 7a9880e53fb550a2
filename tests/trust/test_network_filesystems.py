"""What a network filesystem does that a disk does not: handles go stale, reads fail, calls hang, no events
come, clocks are coarse. Simulated at the calls by which the workspace is read, and, where `bindfs` is there
and FUSE allowed, on a mount; missing locks are tried by `tests/hef_lsp/test_index_directory.py`.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_rig import check_survived, module, picture_of, plant, rebuilt, same, serving, settled
from tally import Row, count

from indexer.ignoring import IgnoreRules
from indexer.source_files import FileChange
from indexer.watch_sources import PollingSource
from indexer.watcher import WorkspaceWatcher


@pytest.fixture
def base(tmp_path: Path) -> Path:
    plant(tmp_path / "root")
    return tmp_path


@pytest.mark.parametrize("call", ["open", "scandir", "read"])
@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_what_fails_is_left_out_and_found_again(
    call: str, code: int, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(Row.FAULTS_INJECTED)
    real = {"open": os.open, "scandir": os.scandir, "read": os.fdopen}[call]
    is_bad = {"open": lambda what: "pkg" in str(what), "scandir": lambda what: "pkg" in str(what)}
    descriptors = is_bad.get(call) or (lambda what: "pkg" in str(Path(f"/proc/self/fd/{what}").readlink()))

    def failing(what, *arguments, **options):  # type: ignore[no-untyped-def]
        if descriptors(what):
            if call == "read":
                os.close(what)
            raise OSError(code, os.strerror(code))
        return real(what, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdopen" if call == "read" else call, failing)
        with serving(base / "root", base / "cache") as folder:
            settled(folder)
            view = folder.view()
            assert view is not None and "a.py" in view.files and "pkg/c.py" not in view.files
    check_survived(base / "root", base / "cache", rebuilt(base / "root", base / "scratch"))
    count(Row.FAULTS_SURVIVED)


def test_a_mount_that_hangs_hangs_no_caller(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer waits for the mount; status, buffers and the server's end do not wait for the writer."""
    count(Row.FAULTS_INJECTED)
    hung, answers = threading.Event(), threading.Event()
    real = Path.lstat

    def hanging(path: Path) -> os.stat_result:
        if path.name == "c.py":
            hung.set()
            answers.wait(60)
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "lstat", hanging)
        with serving(base / "root", base / "cache") as folder:
            assert hung.wait(60)
            folder.overlay("a.py", "x = 1\n")
            assert folder.status()["state"] == "scanning"
            began_s = time.monotonic()
            threading.Timer(15, answers.set).start()  # were the end to wait for the mount, it would come then
            folder.close()
            assert time.monotonic() - began_s < 14 and not answers.is_set()
            answers.set()
            folder._writer._thread.join(30)
    check_survived(base / "root", base / "cache", rebuilt(base / "root", base / "scratch"))
    count(Row.FAULTS_SURVIVED)


def test_without_events_the_files_are_looked_at(base: Path) -> None:
    count(Row.FAULTS_INJECTED)
    root, seen = base / "root", threading.Event()
    found: list[FileChange] = []

    def note(changes: list[FileChange]) -> None:
        found.extend(changes)
        seen.set()

    def polling(root, ignore, emit, on_failure):  # type: ignore[no-untyped-def]
        return PollingSource(root, ignore, emit, 0.05)

    with WorkspaceWatcher(root, IgnoreRules(root), note, 0.01, make_source=polling):
        (root / "pkg" / "c.py").write_text(module("other", 9))
        assert seen.wait(60)
    assert FileChange("pkg/c.py") in found
    count(Row.FAULTS_SURVIVED)


def test_an_edit_within_one_tick_of_a_coarse_clock_is_followed_when_told(base: Path) -> None:
    """Same size, same time: a scan cannot know; a change that is told is read, and its digest decides."""
    count(Row.FAULTS_INJECTED)
    root, tick_ns = base / "root", 1_600_000_000 * 10**9
    os.utime(root / "a.py", ns=(tick_ns, tick_ns))
    with serving(root, base / "cache") as folder:
        settled(folder)
        text = (root / "a.py").read_text()
        (root / "a.py").write_text(text.replace("value + 2", "value - 2"))
        os.utime(root / "a.py", ns=(tick_ns, tick_ns))
        folder.notify([FileChange("a.py")])
        settled(folder)
        same(picture_of(folder), rebuilt(root, base / "scratch"))
    count(Row.FAULTS_SURVIVED)


@contextmanager
def mounted(source: Path, place: Path) -> Iterator[None]:
    """`source` at `place`, by a process of its own; skips where that is not to be had."""
    place.mkdir(exist_ok=True)
    if shutil.which("bindfs") is None:
        pytest.skip("bindfs is not installed")
    made = subprocess.run(["bindfs", str(source), str(place)], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"FUSE is not allowed here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_workspace_and_a_cache_on_a_mount_that_goes_and_comes(base: Path) -> None:
    """Edits come from the other side, which sends no events; then the mount is gone, and is there again."""
    root, place, cache = base / "root", base / "mounted", base / "cache-source"
    cache.mkdir()
    with mounted(cache, base / "cache"):
        with mounted(root, place), serving(place, base / "cache") as folder:
            count(Row.FAULTS_INJECTED, 2)
            settled(folder)
            same(picture_of(folder), rebuilt(root, base / "scratch"))
            (root / "a.py").write_text(module("a", 9))
            folder.rescan()
            settled(folder)
            same(picture_of(folder), rebuilt(root, base / "scratch"))
            subprocess.run(["umount", "-l", str(place)], check=True)
            folder.rescan()
            assert folder.wait_idle(60)
            with mounted(root, place):
                folder.rescan()
                settled(folder)
                same(picture_of(folder), rebuilt(root, base / "scratch"))
        with mounted(root, place):
            check_survived(place, base / "cache", rebuilt(root, base / "scratch"))
    count(Row.FAULTS_SURVIVED, 2)

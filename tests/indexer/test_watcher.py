"""Changes on disk become one report a file after a quiet; ignored folders are not even watched."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from indexer.ignoring import IgnoreRules
from indexer.inotify import InotifySource
from indexer.source_files import FileChange
from indexer.watch_sources import Emit, Happened, News, PollingSource, Source, WatchdogSource
from indexer.watcher import MakeSource, WorkspaceWatcher

QUIET_S = 0.05
# A remark of watchdog's on its own book-keeping when folders appear quickly.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")


@pytest.fixture(autouse=True)
def poll_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.watcher._POLL_S", 0.05)


class Recorder:
    """What a watcher reported; `files` is the latest word on each path."""

    def __init__(
        self, root: Path, make_source: MakeSource, quiet_s: float = QUIET_S, rescan: bool = True
    ) -> None:
        self.batches: list[list[FileChange]] = []
        self.n_rescans = 0
        self.ignore = IgnoreRules(root)
        self.source: Source | None = None
        self._make = make_source
        on_rescan = self._rescan if rescan else None
        self.watcher = WorkspaceWatcher(
            root, self.ignore, self.batches.append, quiet_s, on_rescan, self._keep
        )

    def _keep(self, root: Path, ignore: IgnoreRules, emit: Emit, fail: Callable[[OSError], None]) -> Source:
        self.source = self._make(root, ignore, emit, fail)
        return self.source

    def _rescan(self) -> None:
        self.n_rescans += 1

    @property
    def files(self) -> dict[str, bool]:
        return {change.path: change.present for batch in self.batches for change in batch}

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, (self.batches, self.n_rescans)
            time.sleep(0.005)


def inotify(root: Path, ignore: IgnoreRules, emit: Emit, fail: Callable[[OSError], None]) -> InotifySource:
    if platform.system() != "Linux":
        pytest.skip("inotify is Linux's")
    return InotifySource(root, ignore, emit, fail)


def polling(root: Path, ignore: IgnoreRules, emit: Emit, fail: Callable[[OSError], None]) -> Source:
    return PollingSource(root, ignore, emit, interval_s=0.05)


def watchdog(root: Path, ignore: IgnoreRules, emit: Emit, fail: Callable[[OSError], None]) -> Source:
    return WatchdogSource(root, ignore, emit)


SOURCES = [inotify, polling, watchdog]


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def recorder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Recorder]:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.py").write_text("x")
    recorder = Recorder(tmp_path, request.param)
    with recorder.watcher:
        yield recorder


@pytest.fixture
def native(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path, inotify)
    with recorder.watcher:
        yield recorder


# Every source.


def test_created_changed_and_deleted_files(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("y")
    (tmp_path / "old" / "a.py").write_text("changed")
    recorder.wait_for(lambda: recorder.files == {"new.py": True, "old/a.py": True})
    (tmp_path / "new.py").unlink()
    recorder.wait_for(lambda: recorder.files["new.py"] is False)


def test_a_moved_file_is_gone_here_and_present_there(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "old" / "a.py").rename(tmp_path / "b.py")
    recorder.wait_for(lambda: recorder.files == {"old/a.py": False, "b.py": True})


def test_an_atomic_save_is_a_change(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "old" / "a.py.tmp").write_text("new")
    (tmp_path / "old" / "a.py.tmp").replace(tmp_path / "old" / "a.py")
    recorder.wait_for(lambda: recorder.files.get("old/a.py") is True)


def test_files_in_a_new_folder_are_reported(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "n" / "e" / "w").mkdir(parents=True)
    (tmp_path / "n" / "e" / "w" / "deep.py").write_text("x")
    recorder.wait_for(lambda: recorder.files.get("n/e/w/deep.py") is True)
    (tmp_path / "n" / "e" / "w" / "later.py").write_text("x")
    recorder.wait_for(lambda: recorder.files.get("n/e/w/later.py") is True)


def test_a_folder_moved_in_brings_its_files(recorder: Recorder, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    (outside / "in").mkdir(parents=True)
    (outside / "in" / "b.py").write_text("x")
    outside.rename(tmp_path / "moved")
    recorder.wait_for(lambda: recorder.files.get("moved/in/b.py") is True)


def test_a_folder_renamed_is_seen_under_its_new_name(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "old").rename(tmp_path / "renamed")
    recorder.wait_for(lambda: recorder.files.get("renamed/a.py") is True)
    # The old files: told one by one, or by a rescan.
    recorder.wait_for(lambda: recorder.n_rescans > 0 or recorder.files.get("old/a.py") is False)
    (tmp_path / "renamed" / "b.py").write_text("x")
    recorder.wait_for(lambda: recorder.files.get("renamed/b.py") is True)
    assert "old/b.py" not in recorder.files


def test_a_removed_folder_takes_its_files_along(recorder: Recorder, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "old")
    recorder.wait_for(lambda: recorder.n_rescans > 0 or recorder.files.get("old/a.py") is False)


def test_ignored_files_are_not_reported(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "node_modules" / "m").mkdir(parents=True)
    (tmp_path / "node_modules" / "m" / "i.js").write_text("x")
    (tmp_path / "pic.png").write_text("x")
    (tmp_path / "last.py").write_text("x")
    recorder.wait_for(lambda: "last.py" in recorder.files)
    assert recorder.files == {"last.py": True}


def test_a_changed_ignore_file_reloads_the_rules_and_asks_to_rescan(
    recorder: Recorder, tmp_path: Path
) -> None:
    (tmp_path / ".gitignore").write_text("old/\n")
    recorder.wait_for(lambda: recorder.n_rescans == 1)
    assert recorder.ignore.ignores("old/a.py", False)
    (tmp_path / ".gitignore").unlink()
    recorder.wait_for(lambda: recorder.n_rescans == 2)
    (tmp_path / "old" / "a.py").write_text("seen again")
    recorder.wait_for(lambda: "old/a.py" in recorder.files)


def test_odd_names_are_reported_or_passed_over(recorder: Recorder, tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/bad\xff.py")).write_text("x")
    (tmp_path / "é\n.py").write_text("x")
    recorder.wait_for(lambda: recorder.files == {"é\n.py": True})


def test_nothing_is_reported_after_stop_and_threads_are_joined(recorder: Recorder, tmp_path: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    assert "hef-watcher" in before
    recorder.watcher.stop()
    recorder.watcher.stop()
    assert not {"hef-watcher", "hef-inotify", "hef-poll"} & {thread.name for thread in threading.enumerate()}
    (tmp_path / "late.py").write_text("x")
    time.sleep(3 * QUIET_S)
    assert recorder.files == {}


def test_start_twice_is_one_watch_and_start_after_stop_works(recorder: Recorder, tmp_path: Path) -> None:
    source = recorder.source
    recorder.watcher.start()
    assert recorder.source is source
    recorder.watcher.stop()
    recorder.watcher.start()
    (tmp_path / "again.py").write_text("x")
    recorder.wait_for(lambda: recorder.files.get("again.py") is True)


# Coalescing.


class ByHand:
    """A source that says what the test tells it to."""

    def __init__(self, root: Path, ignore: IgnoreRules, emit: Emit, fail: Callable[[OSError], None]) -> None:
        self.emit, self.fail = emit, fail
        self.stopped = False

    def start(self) -> None: ...

    def stop(self) -> None:
        self.stopped = True

    def resync(self) -> None: ...

    def say(self, path: str, news: News = News.CHANGED) -> None:
        self.emit(Happened(path, news))


def by_hand(recorder: Recorder) -> ByHand:
    assert isinstance(recorder.source, ByHand)
    return recorder.source


def test_many_events_of_one_path_are_one_change_the_latest(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, ByHand)
    with recorder.watcher:
        for news in [News.CHANGED, News.GONE, News.CHANGED, News.CHANGED, News.GONE]:
            by_hand(recorder).say("a.py", news)
        by_hand(recorder).say("b.py")
        recorder.wait_for(lambda: bool(recorder.batches))
    assert recorder.batches == [[FileChange("a.py", present=False), FileChange("b.py")]]


def test_reports_wait_for_quiet_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.watcher._MOST_WAIT_S", 0.3)
    recorder = Recorder(tmp_path, ByHand, quiet_s=0.1)
    with recorder.watcher:
        start = time.monotonic()
        while not recorder.batches:
            by_hand(recorder).say("busy.py")
            time.sleep(0.02)
        assert 0.25 < time.monotonic() - start < 20


def test_a_folder_that_cannot_be_told_file_by_file_asks_for_a_rescan(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, ByHand)
    with recorder.watcher:
        by_hand(recorder).say("folder", News.LOST)
        by_hand(recorder).say("node_modules/m", News.LOST)
        recorder.wait_for(lambda: recorder.n_rescans == 1)
    assert recorder.batches == []


def test_without_a_rescan_the_folder_itself_is_reported_as_gone(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, ByHand, rescan=False)
    with recorder.watcher:
        by_hand(recorder).say("folder", News.LOST)
        recorder.wait_for(lambda: bool(recorder.batches))
    assert recorder.batches == [[FileChange("folder", present=False)]]


def test_a_callback_that_raises_does_not_end_the_watching(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def fail_once(changes: list[FileChange]) -> None:
        seen.append(changes[0].path)
        if len(seen) == 1:
            raise RuntimeError("not now")

    sources: list[ByHand] = []

    def make(root: Path, ignore: IgnoreRules, emit: Emit, fail: Callable[[OSError], None]) -> Source:
        sources.append(ByHand(root, ignore, emit, fail))
        return sources[0]

    with WorkspaceWatcher(tmp_path, IgnoreRules(tmp_path), fail_once, 0.01, make_source=make):
        sources[0].say("a.py")
        while len(seen) < 1:
            time.sleep(0.005)
        sources[0].say("b.py")
        end = time.monotonic() + 30
        while len(seen) < 2 and time.monotonic() < end:
            time.sleep(0.005)
    assert seen == ["a.py", "b.py"]
    assert "reindex if something seems missing" in caplog.text


def test_stop_from_a_callback_does_not_wait_for_itself(tmp_path: Path) -> None:
    done = threading.Event()
    sources: list[ByHand] = []

    def make(root: Path, ignore: IgnoreRules, emit: Emit, fail: Callable[[OSError], None]) -> Source:
        sources.append(ByHand(root, ignore, emit, fail))
        return sources[0]

    def stop(changes: list[FileChange]) -> None:
        watcher.stop()
        done.set()

    watcher = WorkspaceWatcher(tmp_path, IgnoreRules(tmp_path), stop, 0.01, make_source=make)
    watcher.start()
    sources[0].say("a.py")
    assert done.wait(5)
    assert sources[0].stopped


# Failures of the system.


def test_a_refused_start_falls_back_to_polling_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Refused(ByHand):
        def start(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    recorder = Recorder(tmp_path, Refused)
    with recorder.watcher:
        (tmp_path / "a.py").write_text("x")
        recorder.wait_for(lambda: recorder.files == {"a.py": True})
    assert caplog.text.count("looking at the files every few seconds instead") == 1
    assert "fs.inotify.max_user_watches" in caplog.text


def test_a_failure_while_running_falls_back_to_polling_and_asks_for_a_rescan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path, ByHand)
    with recorder.watcher:
        by_hand(recorder).fail(OSError(errno.ENOSPC, "No space left on device"))
        recorder.wait_for(lambda: recorder.n_rescans == 1)
        assert by_hand(recorder).stopped
        (tmp_path / "a.py").write_text("x")
        recorder.wait_for(lambda: recorder.files == {"a.py": True})
    assert caplog.text.count("looking at the files every few seconds instead") == 1


def test_a_refused_watch_after_the_start_is_passed_on_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[OSError] = []
    source = inotify(tmp_path, IgnoreRules(tmp_path), lambda event: None, failures.append)

    def refuse(folder: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source.start()
    try:
        monkeypatch.setattr(source, "_add", refuse)
        for name in ["a", "b"]:
            (tmp_path / name).mkdir()
        end = time.monotonic() + 30
        while not failures and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.05)
    finally:
        source.stop()
    assert [failure.errno for failure in failures] == [errno.ENOSPC]


def test_a_missing_root_does_not_raise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Recorder(tmp_path / "nowhere", inotify).watcher:
        assert "No such file" in caplog.text


# Inotify: what is watched.


def n_watches(recorder: Recorder) -> int:
    assert isinstance(recorder.source, InotifySource)
    return recorder.source.n_watches


def test_ignored_folders_are_not_watched(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / "node_modules" / f"m{number}").mkdir(parents=True)
    (tmp_path / "src" / "inner").mkdir(parents=True)
    recorder = Recorder(tmp_path, inotify)
    with recorder.watcher:
        assert n_watches(recorder) == 3


def test_two_thousand_folders_are_watched_quickly_by_one_thread(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"p{number // 50}" / f"m{number}").mkdir(parents=True)
    n_threads = threading.active_count()
    recorder = Recorder(tmp_path, inotify)
    start = time.process_time()
    with recorder.watcher:
        assert time.process_time() - start < 30
        assert n_watches(recorder) == 2041
        assert threading.active_count() == n_threads + 2
        (tmp_path / "p39" / "m1999" / "a.py").write_text("x")
        recorder.wait_for(lambda: recorder.files == {"p39/m1999/a.py": True})


def test_an_environment_made_while_watching_is_left_alone_once_known(
    native: Recorder, tmp_path: Path
) -> None:
    (tmp_path / "env" / "lib").mkdir(parents=True)
    native.wait_for(lambda: n_watches(native) == 3)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    native.wait_for(lambda: n_watches(native) == 1)
    native.wait_for(lambda: native.n_rescans == 1)


def test_rules_that_change_move_the_watches(native: Recorder, tmp_path: Path) -> None:
    (tmp_path / "gen" / "deep").mkdir(parents=True)
    native.wait_for(lambda: n_watches(native) == 3)
    (tmp_path / ".gitignore").write_text("gen/")
    native.wait_for(lambda: n_watches(native) == 1)
    (tmp_path / ".gitignore").write_text("")
    native.wait_for(lambda: n_watches(native) == 3)


def test_watches_of_removed_folders_are_forgotten(native: Recorder, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    native.wait_for(lambda: n_watches(native) == 3)
    shutil.rmtree(tmp_path / "a")
    native.wait_for(lambda: n_watches(native) == 1)


def test_links_to_folders_are_not_followed(native: Recorder, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "loop").symlink_to(tmp_path)
    (outside / "a.py").write_text("x")
    (tmp_path / "b.py").write_text("x")
    native.wait_for(lambda: "b.py" in native.files)
    assert "link/a.py" not in native.files
    assert n_watches(native) == 1


def test_an_overflow_of_the_queue_asks_for_a_rescan(tmp_path: Path) -> None:
    events: list[Happened] = []
    source = inotify(tmp_path, IgnoreRules(tmp_path), events.append, lambda error: None)
    source.start()
    try:
        source._take(-1, 0x4000, "")
    finally:
        source.stop()
    assert events == [Happened("", News.LOST)]


def test_the_workspace_itself_moved_away_asks_for_a_rescan(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    recorder = Recorder(root, inotify)
    with recorder.watcher:
        root.rename(tmp_path / "elsewhere")
        recorder.wait_for(lambda: recorder.n_rescans == 1)

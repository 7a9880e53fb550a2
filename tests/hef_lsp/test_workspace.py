"""A folder's writer: order, slices, overlays, pauses, failures and ends, with an index without a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes import fake_bundle
from index_fakes import FakeIndex, FakeIndexes

from hef_lsp.scheduling import InferenceLane, LanePriority
from hef_lsp.settings import IndexSettings, Settings
from hef_lsp.workspace import WorkspaceFolder, stored_status
from indexer.source_files import FileChange

PATIENCE_S = 30.0


class Desk:
    """One folder on disk and what is needed to follow it."""

    def __init__(self, base: Path) -> None:
        self.root, self.cache = base / "project", base / "cache"
        self.root.mkdir()
        self.lane = InferenceLane()
        self.reports: list[dict] = []
        self.folders: list[WorkspaceFolder] = []
        self.indexes = FakeIndexes()

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            path = self.root / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def folder(self, root: Path | None = None, attach: bool = True, **settings: object) -> WorkspaceFolder:
        chosen = Settings(index=IndexSettings(**{"quiet_ms": 0, **settings}))
        folder = WorkspaceFolder(
            root or self.root, chosen, self.cache, self.lane, self.reports.append, open_index=self.indexes
        )
        self.folders.append(folder)
        if attach:
            folder.attach_models(fake_bundle())
        return folder

    def settled(self, **settings: object) -> tuple[WorkspaceFolder, FakeIndex]:
        folder = self.folder(**settings)
        assert folder.wait_idle(PATIENCE_S)
        return folder, self.indexes.last

    def close(self) -> None:
        for folder in self.folders:
            folder.close()
        self.lane.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.002)


def test_the_first_index_reads_everything_in_one_thread_and_fuses_it(desk: Desk) -> None:
    desk.write(a="1", pkg__b="2", pkg__c="3")
    folder, index = desk.settled()
    assert index.texts == {"a.py": "1", "pkg/b.py": "2", "pkg/c.py": "3"}
    assert not index.unfused and len(index.fused) == 3
    assert index.threads == {"hef-index project"}
    view = folder.view()
    assert view is not None and view.generation == index.generation
    report = folder.status()
    assert (report["state"], report["files"], report["message"]) == ("ready", 3, "")


def test_status_is_told_as_it_changes_and_kept_for_later(desk: Desk) -> None:
    desk.write(a="1", b="2", c="3")
    folder, _ = desk.settled()
    eventually(lambda: desk.reports[-1]["state"] == "ready")
    states = [report["state"] for report in desk.reports]
    assert states.index("opening") < states.index("scanning") < states.index("fusing") < states.index("ready")
    assert any(report["total"] == 3 for report in desk.reports)
    kept = stored_status(desk.root, desk.cache)
    assert kept is not None and kept["files"] == 3 and kept["root"] == str(folder.root)


def test_the_status_is_kept_even_if_the_folder_is_closed_the_moment_it_is_idle(desk: Desk) -> None:
    desk.write(a="1")
    folder = desk.folder(attach=False)
    inner = folder._announce
    object.__setattr__(folder._writer._work, "announce", lambda: (time.sleep(0.02), inner()))
    folder.attach_models(fake_bundle())
    assert folder.wait_idle(PATIENCE_S)
    folder.close()
    kept = stored_status(desk.root, desk.cache)
    assert kept is not None and (kept["state"], kept["files"]) == ("ready", 1)


def test_without_models_there_is_no_view_and_the_status_says_why(desk: Desk) -> None:
    folder = desk.folder(attach=False)
    assert folder.view() is None
    assert folder.status()["state"] == "waiting for the model"
    assert not folder.wait_idle(0.01)


def test_a_listener_that_fails_does_not_stop_the_index(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.write(a="1")
    folder = WorkspaceFolder(
        desk.root, Settings(), desk.cache, desk.lane, lambda _: 1 // 0, open_index=desk.indexes
    )
    desk.folders.append(folder)
    folder.attach_models(fake_bundle())
    assert folder.wait_idle(PATIENCE_S)
    assert desk.indexes.last.texts == {"a.py": "1"}
    assert "a listener to the index's state failed" in caplog.text


def test_a_save_is_followed(desk: Desk) -> None:
    desk.write(a="1", b="2")
    folder, index = desk.settled()
    desk.write(a="new")
    (desk.root / "b.py").unlink()
    folder.notify([FileChange("a.py"), FileChange("b.py", present=False), FileChange("a.py")])
    assert folder.wait_idle(PATIENCE_S)
    assert index.texts == {"a.py": "new"}
    assert index.batches == [["b.py", "a.py"]]


def test_an_open_document_hides_the_disk_until_it_is_closed(desk: Desk) -> None:
    desk.write(a="disk")
    folder, index = desk.settled()
    folder.overlay("a.py", "typed")
    folder.notify([FileChange("a.py"), FileChange("a.py", present=False)])  # saved elsewhere, even deleted
    assert folder.wait_idle(PATIENCE_S)
    assert index.texts == {"a.py": "typed"}
    folder.overlay("a.py", None)
    assert folder.wait_idle(PATIENCE_S)
    assert index.texts == {"a.py": "disk"}


def test_an_unsaved_file_goes_when_its_document_is_closed(desk: Desk) -> None:
    folder, index = desk.settled()
    folder.overlay("new.py", "typed")
    assert folder.wait_idle(PATIENCE_S) and index.texts == {"new.py": "typed"}
    folder.overlay("new.py", None)
    assert folder.wait_idle(PATIENCE_S) and index.texts == {}


def test_typing_is_debounced_and_the_latest_text_wins(desk: Desk) -> None:
    folder, index = desk.settled(quiet_ms=60)
    for text in ("t", "ty", "typ"):
        folder.overlay("a.py", text)
        time.sleep(0.01)
    assert folder.wait_idle(PATIENCE_S)
    assert index.texts == {"a.py": "typ"} and index.batches == [["a.py"]]


def test_overlays_come_back_after_reindex(desk: Desk) -> None:
    desk.write(a="disk", b="2")
    folder, first = desk.settled()
    folder.overlay("a.py", "typed")
    assert folder.wait_idle(PATIENCE_S)
    folder.reindex()
    assert folder.wait_idle(PATIENCE_S)
    assert first.closed and desk.indexes.last is not first
    assert desk.indexes.last.texts == {"a.py": "typed", "b.py": "2"}


def test_reindex_drops_what_was_on_disk(desk: Desk) -> None:
    folder, index = desk.settled()
    (index.directory / "store.sqlite").write_text("old")
    folder.reindex()
    assert folder.wait_idle(PATIENCE_S)
    assert list(desk.indexes.last.directory.iterdir()) == []


def test_other_models_open_the_index_again(desk: Desk) -> None:
    folder, first = desk.settled()
    folder.attach_models(fake_bundle())
    assert folder.wait_idle(PATIENCE_S)
    assert first.closed and len(desk.indexes.opened) == 2


def test_neighbours_of_open_documents_come_first(desk: Desk) -> None:
    folder = desk.folder(attach=False)
    folder.overlay("pkg/a.py", "1")
    folder.overlay("pkg/b.py", "2")
    folder.attach_models(fake_bundle())
    assert folder.wait_idle(PATIENCE_S)
    assert desk.indexes.last.firsts == [["pkg/b.py", "pkg/a.py"]]


def test_a_save_during_the_first_index_waits_for_a_slice_not_for_the_index(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hef_lsp.index_writer.LEAST_SCAN_S", 0.02)
    desk.write(**{f"f{i:03}": str(i) for i in range(200)})
    desk.indexes.set_up = lambda index: setattr(index, "seconds_a_batch", 0.01)
    folder = desk.folder()
    eventually(lambda: bool(desk.indexes.opened) and desk.indexes.last.in_scan.is_set())
    index = desk.indexes.last
    folder.overlay("f199.py", "urgent")
    eventually(lambda: index.texts.get("f199.py") == "urgent")
    assert len(index.texts) < 190
    index.seconds_a_batch = 0.0
    assert folder.wait_idle(PATIENCE_S)
    assert len(index.texts) == 200 and index.n_scans >= 2


def test_a_change_does_not_interrupt_a_scan_that_did_not_get_on(desk: Desk) -> None:
    desk.write(a="1", b="2", c="3")
    desk.indexes.set_up = lambda index: setattr(index, "seconds_a_batch", 0.05)
    folder = desk.folder()
    for number in range(20):  # changes come faster than the least time of a scan
        folder.overlay("z.py", str(number))
        time.sleep(0.005)
    assert folder.wait_idle(PATIENCE_S)
    assert desk.indexes.last.n_scans == 1


def test_the_writer_gives_way_while_a_keystroke_is_served(desk: Desk) -> None:
    folder, index = desk.settled()
    release, entered = threading.Event(), threading.Event()
    keystroke = desk.lane.submit(LanePriority.KEYSTROKE, lambda: (entered.set(), release.wait(PATIENCE_S)))
    assert entered.wait(PATIENCE_S)
    folder.overlay("a.py", "typed")
    time.sleep(0.05)
    assert index.batches == []
    release.set()
    keystroke.result(PATIENCE_S)
    assert folder.wait_idle(PATIENCE_S) and index.texts == {"a.py": "typed"}


def test_nothing_is_fused_while_someone_types(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hef_lsp.index_writer.TYPING_S", 0.15)
    folder, index = desk.settled()
    desk.lane.run(LanePriority.KEYSTROKE, lambda: None)
    folder.overlay("a.py", "typed")
    eventually(lambda: index.texts == {"a.py": "typed"})
    assert folder.status()["state"] == "fusing" and index.fused == []
    for _ in range(4):  # keys at intervals shorter than the quiet time
        time.sleep(0.06)
        desk.lane.run(LanePriority.KEYSTROKE, lambda: None)
    assert index.fused == [] and not folder.wait_idle(0.01)
    assert folder.wait_idle(PATIENCE_S)
    assert index.fused == ["a.py"]


def test_a_keystroke_ends_the_fusing_under_way(desk: Desk) -> None:
    desk.write(**{f"f{i:03}": str(i) for i in range(100)})
    desk.indexes.set_up = lambda index: setattr(index, "seconds_a_batch", 0.005)
    folder = desk.folder()
    eventually(lambda: bool(desk.indexes.opened) and len(desk.indexes.last.fused) > 2)
    desk.lane.run(LanePriority.KEYSTROKE, lambda: None)
    time.sleep(0.02)
    n_fused = len(desk.indexes.last.fused)
    time.sleep(0.05)
    assert len(desk.indexes.last.fused) == n_fused < 100
    assert folder.status()["state"] == "fusing"


def test_paused_keeps_changes_for_later(desk: Desk) -> None:
    folder, index = desk.settled()
    folder.pause(True)
    assert folder.status()["state"] == "paused"
    folder.overlay("a.py", "typed")
    assert not folder.wait_idle(None)
    time.sleep(0.02)
    assert index.texts == {}
    folder.pause(False)
    assert folder.wait_idle(PATIENCE_S)
    assert index.texts == {"a.py": "typed"} and folder.status()["state"] == "ready"


def test_pause_ends_the_slice_under_way(desk: Desk) -> None:
    desk.write(**{f"f{i:03}": str(i) for i in range(100)})
    desk.indexes.set_up = lambda index: setattr(index, "seconds_a_batch", 0.01)
    folder = desk.folder()
    eventually(lambda: bool(desk.indexes.opened) and desk.indexes.last.in_scan.is_set())
    index = desk.indexes.last
    folder.pause(True)
    time.sleep(0.05)
    done = len(index.texts)
    time.sleep(0.05)
    assert len(index.texts) == done < 100
    index.seconds_a_batch = 0.0
    folder.pause(False)
    assert folder.wait_idle(PATIENCE_S) and len(index.texts) == 100


def test_one_bad_file_does_not_hold_up_the_others_and_is_told(desk: Desk) -> None:
    folder, index = desk.settled(quiet_ms=30)
    index.poison = {"bad.py"}
    for name in ("a.py", "bad.py", "c.py"):
        folder.overlay(name, name)
    assert folder.wait_idle(PATIENCE_S)
    assert set(index.texts) == {"a.py", "c.py"}
    assert (folder.status()["state"], folder.status()["message"]) == ("error", "cannot read bad.py")
    index.poison = set()
    folder.overlay("d.py", "next")
    assert folder.wait_idle(PATIENCE_S)
    assert set(index.texts) == {"a.py", "bad.py", "c.py", "d.py"}
    assert (folder.status()["state"], folder.status()["message"]) == ("ready", "")


def test_a_failure_is_logged_once_per_cause_and_the_next_change_tries_again(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    folder, index = desk.settled()
    index.trouble = OSError("no space left on device")
    for number in range(3):
        folder.overlay(f"f{number}.py", "x")
        assert folder.wait_idle(PATIENCE_S)
    assert folder.status()["message"] == "no space left on device"
    assert caplog.text.count("no space left on device") == 1
    index.trouble = None
    folder.overlay("f9.py", "x")
    assert folder.wait_idle(PATIENCE_S)
    assert set(index.texts) == {"f0.py", "f1.py", "f2.py", "f9.py"}


def test_a_scan_that_failed_is_tried_again_with_the_next_change(desk: Desk) -> None:
    desk.write(a="1")
    desk.indexes.set_up = lambda index: setattr(index, "trouble", OSError("disk gone"))
    folder, index = desk.settled()
    assert folder.status()["state"] == "error" and index.n_scans == 0
    index.trouble = None
    folder.overlay("b.py", "2")
    assert folder.wait_idle(PATIENCE_S)
    assert index.texts == {"a.py": "1", "b.py": "2"} and folder.status()["state"] == "ready"


def test_fusing_that_does_not_get_on_is_not_tried_for_ever(desk: Desk) -> None:
    desk.write(a="1")
    desk.indexes.set_up = lambda index: setattr(index, "stalls", True)
    folder, _ = desk.settled()
    assert folder.status()["message"] == "1 vectors stay unfused; run the command hef.reindex"


def test_what_is_missed_is_fused_at_once(desk: Desk) -> None:
    desk.write(a="1")
    folder, index = desk.settled()
    assert index.fused == ["a.py"]
    index.unfused.add("missed")
    index.wish()
    assert folder.wait_idle(PATIENCE_S)
    assert index.fused == ["a.py", "missed"]


def test_fusing_what_was_missed_is_not_told_as_work(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hef_lsp.index_writer.TYPING_S", 0.15)
    desk.write(a="1")
    folder = desk.folder(attach=False)
    folder.attach_models(fake_bundle(), fuse_missed_only=True)
    assert folder.wait_idle(PATIENCE_S)
    index = desk.indexes.last
    desk.lane.run(LanePriority.KEYSTROKE, lambda: None)
    index.unfused.add("missed")
    index.wish()
    assert not folder.wait_idle(0.01)
    assert (folder.status()["state"], folder.status()["pending"]) == ("ready", 1)
    assert folder.wait_idle(PATIENCE_S) and "missed" in index.fused


def test_an_index_that_cannot_be_opened_is_told_and_tried_again(desk: Desk) -> None:
    desk.write(a="1")
    desk.indexes.trouble = OSError("database is locked")
    folder = desk.folder()
    assert folder.wait_idle(PATIENCE_S)
    assert folder.view() is None
    assert (folder.status()["state"], folder.status()["message"]) == ("error", "database is locked")
    desk.indexes.trouble = None
    folder.rescan()
    assert folder.wait_idle(PATIENCE_S)
    assert desk.indexes.last.texts == {"a.py": "1"} and folder.status()["state"] == "ready"


def test_a_missing_root_is_told_and_serves_once_it_is_there(desk: Desk) -> None:
    missing = desk.root / "later"
    folder = desk.folder(missing)
    assert folder.wait_idle(PATIENCE_S)
    report = folder.status()
    assert report["state"] == "error"
    assert report["message"] == f"{missing} does not exist; open an existing folder"
    assert folder.view() is None
    missing.mkdir()
    (missing / "a.py").write_text("1")
    folder.rescan()
    assert folder.wait_idle(PATIENCE_S)
    assert folder.status()["state"] == "ready" and desk.indexes.last.texts == {"a.py": "1"}


def test_a_file_as_root_is_told_even_before_models(desk: Desk) -> None:
    desk.write(a="1")
    report = desk.folder(desk.root / "a.py", attach=False).status()
    assert report["state"] == "error"
    assert report["message"].endswith("a.py is a file; open the folder that holds it")


def test_an_unreadable_root_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hef_lsp.workspace.os.scandir", refuse)
    report = desk.folder(attach=False).status()
    assert report["message"].endswith(
        "cannot be read (Permission denied); allow reading it, or open another folder"
    )


def test_a_cache_that_cannot_be_written_is_told(desk: Desk) -> None:
    desk.cache.write_text("a file where the cache should be")
    folder = desk.folder()
    assert folder.wait_idle(PATIENCE_S)
    assert "make it writable or choose another with --cache-dir" in folder.status()["notes"][0]


def test_folders_that_come_and_go_are_read_as_a_whole(desk: Desk) -> None:
    desk.write(a="1", old__b="2")
    folder, index = desk.settled()
    (desk.root / "old").rename(desk.root / "new")
    folder.notify([FileChange("old", present=False), FileChange("new")])
    assert folder.wait_idle(PATIENCE_S)
    assert set(index.texts) == {"a.py", "new/b.py"}
    n_scans = index.n_scans
    folder.notify([FileChange("new")])  # a known folder that "changed" is no news
    assert folder.wait_idle(PATIENCE_S)
    assert index.n_scans == n_scans


def test_changed_ignore_rules_are_followed(desk: Desk) -> None:
    desk.write(a="1", secret="2")
    folder, index = desk.settled()
    (desk.root / ".gitignore").write_text("secret.py\n")
    folder.notify([FileChange(".gitignore")])
    assert folder.wait_idle(PATIENCE_S)
    assert "secret.py" not in index.texts


def test_with_the_index_off_only_open_documents_are_known(desk: Desk) -> None:
    desk.write(a="disk")
    folder, index = desk.settled(enabled=False)
    folder.overlay("b.py", "typed")
    folder.notify([FileChange("a.py")])
    folder.rescan()
    assert folder.wait_idle(PATIENCE_S)
    assert index.texts == {"b.py": "typed"} and index.n_scans == 0
    folder.overlay("b.py", None)
    assert folder.wait_idle(PATIENCE_S)
    assert index.texts == {}
    assert stored_status(desk.root, desk.cache) is None  # it is no index of the folder


def test_close_is_quick_frees_the_place_and_joins_the_threads(desk: Desk) -> None:
    desk.write(**{f"f{i:03}": str(i) for i in range(100)})
    desk.indexes.set_up = lambda index: setattr(index, "seconds_a_batch", 0.01)
    folder = desk.folder()
    eventually(lambda: bool(desk.indexes.opened) and desk.indexes.last.in_scan.is_set())
    began = time.monotonic()
    folder.close()
    folder.close()
    assert time.monotonic() - began < PATIENCE_S
    assert desk.indexes.last.closed and folder.status()["state"] == "closed"
    assert not any(thread.name == "hef-index project" for thread in threading.enumerate())
    desk.indexes.set_up = lambda _: None
    _, again = desk.settled()
    assert again.directory == desk.indexes.opened[0].directory


def test_a_lane_that_closes_first_ends_the_writer_without_noise(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.write(**{f"f{i:03}": str(i) for i in range(50)})
    desk.indexes.set_up = lambda index: setattr(index, "seconds_a_batch", 0.005)
    folder = desk.folder()
    eventually(lambda: bool(desk.indexes.opened) and desk.indexes.last.in_scan.is_set())
    desk.lane.close()
    eventually(lambda: folder.status()["state"] == "closed")
    assert not folder.wait_idle(PATIENCE_S)
    folder.close()
    assert caplog.text == ""

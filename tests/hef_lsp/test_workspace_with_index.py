"""A folder with the real index and models without weights: what the counters prove."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes import fake_bundle

from hef_lsp.scheduling import InferenceLane
from hef_lsp.settings import IndexSettings, Settings
from hef_lsp.workspace import WorkspaceFolder
from indexer.source_files import FileChange

PATIENCE_S = 60.0
FUNCTION = "def {name}(value):\n    total = value + {number}\n    return [total, value, '{name}']\n\n\n"


def module(name: str, n_functions: int = 12) -> str:
    return "".join(FUNCTION.format(name=f"{name}_{i}", number=i) for i in range(n_functions))


class Desk:
    def __init__(self, base: Path) -> None:
        self.root, self.cache, self.lane = base / "project", base / "cache", InferenceLane()
        self.folders: list[WorkspaceFolder] = []
        for name in ("a", "b", "pkg/c", "pkg/d"):
            path = self.root / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(module(path.stem))

    def open(self, **settings: object) -> WorkspaceFolder:
        chosen = Settings(index=IndexSettings(**{"quiet_ms": 0, **settings}))
        folder = WorkspaceFolder(self.root, chosen, self.cache, self.lane)
        self.folders.append(folder)
        folder.attach_models(fake_bundle())
        assert folder.wait_idle(PATIENCE_S), folder.status()
        assert folder.status()["state"] == "ready", folder.status()
        return folder


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    for folder in desk.folders:
        folder.close()
    desk.lane.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)


def text_of(folder: WorkspaceFolder, path: str) -> str:
    view = folder.view()
    assert view is not None
    return "".join(chunk.text for chunk in view.file_chunks(path))


def settle(folder: WorkspaceFolder) -> dict:
    assert folder.wait_idle(PATIENCE_S)
    return folder.status()


def test_one_edit_encodes_its_chunk_and_fuses_its_ancestors_only(desk: Desk) -> None:
    folder = desk.open()
    before = folder.status()
    assert before["files"] == 4 and before["pending"] == 0 and before["embedded"] >= 12
    path = desk.root / "pkg" / "c.py"
    path.write_text(path.read_text().replace("total = value + 5\n", "total = value * 500\n"))
    folder.notify([FileChange("pkg/c.py")])
    after = settle(folder)
    assert after["embedded"] - before["embedded"] == 1
    assert after["encoded"] - before["encoded"] == 1
    assert 2 <= after["fused"] - before["fused"] <= 6
    assert after["generation"] == before["generation"] + 1
    assert "value * 500" in text_of(folder, "pkg/c.py")


def test_a_restart_encodes_nothing(desk: Desk) -> None:
    before = desk.open().status()
    desk.folders[0].close()
    after = desk.open().status()
    for counter in ("files", "chunks", "nodes", "embedded", "encoded", "fused", "generation"):
        assert after[counter] == before[counter]


def test_a_moved_folder_costs_no_encoding(desk: Desk) -> None:
    folder = desk.open()
    before = folder.status()
    (desk.root / "pkg").rename(desk.root / "moved")
    folder.notify([FileChange("pkg", present=False), FileChange("moved")])
    after = settle(folder)
    assert after["encoded"] == before["encoded"] and after["embedded"] == before["embedded"]
    assert text_of(folder, "moved/c.py") and not text_of(folder, "pkg/c.py")


def test_a_scan_does_not_put_the_disks_text_in_place_of_an_open_documents(desk: Desk) -> None:
    folder = desk.open()
    folder.overlay("a.py", "def typed():\n    return 'not saved'\n")
    settle(folder)
    folder.rescan()
    settle(folder)
    assert "not saved" in text_of(folder, "a.py")
    folder.overlay("a.py", None)
    settle(folder)
    assert text_of(folder, "a.py").startswith("def a_0")


def test_an_unsaved_text_does_not_outlive_the_session(desk: Desk) -> None:
    folder = desk.open()
    folder.overlay("a.py", "def typed():\n    return 'not saved'\n")
    settle(folder)
    folder.close()
    assert text_of(desk.open(), "a.py").startswith("def a_0")


def test_reindex_makes_everything_anew(desk: Desk) -> None:
    folder = desk.open()
    before = folder.status()
    folder.reindex()
    after = settle(folder)
    assert after["embedded"] == before["embedded"] > 0 and after["files"] == 4


def test_without_fusing_nothing_is_encoded(desk: Desk) -> None:
    report = desk.open(fuse=False).status()
    assert report["embedded"] > 0 and report["encoded"] == report["fused"] == report["pending"] == 0


def test_our_own_watcher_follows_the_disk(desk: Desk) -> None:
    folder = desk.open(quiet_ms=20)
    folder.watch(True)
    settle(folder)
    (desk.root / "new.py").write_text("def appeared():\n    return 1\n")
    eventually(lambda: "appeared" in text_of(folder, "new.py"))
    (desk.root / "a.py").unlink()
    eventually(lambda: text_of(folder, "a.py") == "")
    shutil.rmtree(desk.root / "pkg")
    eventually(lambda: settle(folder)["files"] == 2)
    (desk.root / ".gitignore").write_text("new.py\n")
    eventually(lambda: text_of(folder, "new.py") == "")
    folder.watch(False)
    settle(folder)
    (desk.root / "late.py").write_text("x = 1\n")
    time.sleep(0.1)
    assert text_of(folder, "late.py") == ""


def test_what_changed_before_the_watch_began_is_found(desk: Desk) -> None:
    folder = desk.open()
    (desk.root / "unseen.py").write_text("def unseen():\n    return 1\n")
    folder.watch(True)
    eventually(lambda: "unseen" in text_of(folder, "unseen.py"))


def test_a_second_server_of_other_models_has_an_index_of_its_own(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = desk.open()
    monkeypatch.setattr("fakes.FakeEmbedder.__init__.__defaults__", (32,))
    second = desk.open()
    assert second.status()["files"] == first.status()["files"] and not second.status()["read_only"]
    assert not second.status()["notes"]


def test_completions_have_a_view_while_the_first_index_is_made(desk: Desk) -> None:
    for number in range(150):
        (desk.root / f"f{number}.py").write_text(module(f"f{number}", 2))
    folder = WorkspaceFolder(desk.root, Settings(index=IndexSettings(quiet_ms=0)), desk.cache, desk.lane)
    desk.folders.append(folder)
    folder.attach_models(fake_bundle())
    sizes = set()
    while not folder.wait_idle(0.002):
        view = folder.view()
        sizes.add(len(view.files) if view is not None else -1)
    assert any(0 < size < 154 for size in sizes), sizes
    assert settle(folder)["files"] == 154


def test_a_damaged_database_is_told_and_made_anew(desk: Desk) -> None:
    folder = desk.open()
    folder.close()
    for path in desk.cache.rglob("*"):
        if path.is_file() and path.stat().st_size > 4096 and "lock" not in path.name:
            path.write_bytes(b"this is no database" * 500)
    report = desk.open().status()
    assert report["files"] == 4 and report["notes"], report

"""Workspaces as nobody expects them: files that vanish, refuse, are huge or oddly named, clocks that jump,
loops, a hundred thousand files, a branch switch. The index equals a rebuild of what can be read.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from fault_rig import check_survived, module, picture_of, plant, rebuilt, same, serving, settled
from tally import FULL, Row, count

from indexer.source_files import FileChange, SourceTree
from indexer.state import EXACT_UP_TO
from indexer.store import MOST_POSTINGS

N_FILES = 100_000 if FULL else 1_500
N_SWITCHED = 10_000 if FULL else 300
ODD_NAMES = (
    *(b"line\nbreak.py", b"back\\slash.py", b"\xff\xfe.py", b"\xed\xa0\x80.py", "é.py".encode(), b"%41.py"),
    *(b"a" * 251 + b".py", b" .py", b"-rf.py", b"CON.py", b"quote'\".py", b"tab\t.py"),
)
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems refuse such names")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    plant(tmp_path / "root")
    return tmp_path


def survives(base: Path) -> None:
    check_survived(base / "root", base / "cache", rebuilt(base / "root", base / "scratch"))
    count(Row.FAULTS_SURVIVED)


def test_files_that_vanish_between_scan_and_read(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count(Row.FAULTS_INJECTED)
    walk = SourceTree.scan

    def vanishing(tree: SourceTree):  # type: ignore[no-untyped-def]
        found = list(walk(tree))
        for file in found[::2]:
            (tree.root / file.path).unlink(missing_ok=True)
        yield from found

    with monkeypatch.context() as patched:
        patched.setattr(SourceTree, "scan", vanishing)
        with serving(base / "root", base / "cache") as folder:
            settled(folder)
            picture = picture_of(folder)
    same(picture, rebuilt(base / "root", base / "scratch"))
    count(Row.FAULTS_SURVIVED)


@pytest.mark.parametrize("call", ["open", "lstat", "scandir"])
def test_permission_denied(call: str, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Injected, since a test that runs as root is denied nothing. What is allowed again is found again."""
    count(Row.FAULTS_INJECTED)
    real_open, real_lstat, real_scandir = os.open, Path.lstat, os.scandir

    def check(path: object) -> None:
        if "pkg" in str(path):
            raise PermissionError(13, "Permission denied")

    def opened(path, *arguments, **options):  # type: ignore[no-untyped-def]
        check(path)
        return real_open(path, *arguments, **options)

    def stated(path):  # type: ignore[no-untyped-def]
        check(path)
        return real_lstat(path)

    def listed(path):  # type: ignore[no-untyped-def]
        check(path)
        return real_scandir(path)

    with monkeypatch.context() as patched:
        if call == "open":
            patched.setattr(os, "open", opened)
        elif call == "lstat":
            patched.setattr(Path, "lstat", stated)
        else:
            patched.setattr(os, "scandir", listed)
        with serving(base / "root", base / "cache") as folder:
            settled(folder)
            view = folder.view()
            assert view is not None and "a.py" in view.files and "pkg/c.py" not in view.files
    survives(base)


@pytest.mark.parametrize("when_s", [-1e9, 1e9, 4e9])
def test_a_clock_that_jumps(when_s: float, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stamps only tell that a file is another; none is compared with now, none with another's."""
    count(Row.FAULTS_INJECTED)
    with serving(base / "root", base / "cache") as folder:
        settled(folder)
        now_s = time.time()
        monkeypatch.setattr(time, "time", lambda: now_s + when_s)
        (base / "root" / "a.py").write_text(module("a").replace("value + 3", "value + 4"))
        stamp_s = max(0.0, now_s + when_s)
        os.utime(base / "root" / "a.py", (stamp_s, stamp_s))
        os.utime(base / "root" / "b.py", (stamp_s, stamp_s))
        folder.notify([FileChange("a.py"), FileChange("b.py")])
        settled(folder)
        same(picture_of(folder), rebuilt(base / "root", base / "scratch"))
    survives(base)


@LINUX
def test_loops_of_symbolic_links(base: Path) -> None:
    count(Row.FAULTS_INJECTED)
    (base / "root" / "pkg" / "up").symlink_to(base / "root")
    (base / "root" / "self").symlink_to(base / "root" / "self")
    (base / "root" / "nowhere.py").symlink_to(base / "gone.py")
    (base / "root" / "again.py").symlink_to(base / "root" / "a.py")
    survives(base)


@LINUX
def test_names_that_are_no_text(base: Path) -> None:
    count(Row.FAULTS_INJECTED)
    root = base / "root"
    for name in ODD_NAMES:
        with open(os.path.join(os.fsencode(root), name), "wb") as file:  # noqa: PTH118, PTH123 - names are bytes
            file.write(module("odd").encode())
    with serving(root, base / "cache") as folder:
        settled(folder)
        view = folder.view()
        assert view is not None and {"line\nbreak.py", "é.py", "%41.py"} <= set(view.files)
        folder.notify([FileChange(path) for path in ("\ud800.py", "a\0b.py", "../x.py", "/etc/passwd")])
        folder.overlay("\udcff.py", "x = 1\n")
        folder.overlay("lone.py", "x = '\ud800'\n")
        settled(folder)
        folder.overlay("lone.py", None)
        settled(folder)
    survives(base)


def test_huge_files_long_lines_and_nul_bytes(base: Path) -> None:
    count(Row.FAULTS_INJECTED, 6)
    root = base / "root"
    with (root / "huge.py").open("wb") as file:
        file.truncate(200 << 20)
    (root / "long.py").write_text("x = '" + "a" * (5 << 20) + "'\n")
    (root / "long_but_allowed.py").write_text("x = [" + "1, " * 300_000 + "]\n")
    (root / "nul.py").write_bytes(b"x = 1\n\0\0\0y = 2\n" * 50)
    (root / "half.py").write_bytes("é".encode()[:1] * 999)
    (root / "empty.py").write_bytes(b"")
    with serving(root, base / "cache") as folder:
        settled(folder)
        folder.overlay("huge.py", "x = 1\n" * 2_000_000)
        folder.overlay("typed.py", "y = '" + "b" * 900_000)
        settled(folder)
        folder.overlay("huge.py", None)
        folder.overlay("typed.py", None)
        settled(folder)
        same(picture_of(folder), rebuilt(root, base / "scratch"))
    survives(base)
    count(Row.FAULTS_SURVIVED, 5)


def test_renames_that_change_only_the_case(base: Path) -> None:
    count(Row.FAULTS_INJECTED)
    root = base / "root"
    with serving(root, base / "cache") as folder:
        settled(folder)
        (root / "Case.py").rename(root / "CASE.py")
        (root / "pkg").rename(root / "Pkg")
        folder.notify([FileChange("CASE.py"), FileChange("Case.py"), FileChange("Pkg"), FileChange("pkg")])
        settled(folder)
        same(picture_of(folder), rebuilt(root, base / "scratch"))
    survives(base)


def test_a_file_becomes_a_folder_and_a_folder_a_file(base: Path) -> None:
    count(Row.FAULTS_INJECTED)
    root = base / "root"
    with serving(root, base / "cache") as folder:
        settled(folder)
        (root / "a.py").unlink()
        (root / "a.py").mkdir()
        (root / "a.py" / "inner.py").write_text(module("inner"))
        (root / "pkg").rename(root / "was")
        (root / "pkg").write_text("now a file\n")
        folder.notify([FileChange(path) for path in ("a.py", "pkg", "was")])
        settled(folder)
        same(picture_of(folder), rebuilt(root, base / "scratch"))
    survives(base)


def write_many(root: Path, n_files: int, branch: str) -> list[str]:
    paths = [f"many/{number // 500}/{number}.py" for number in range(n_files)]
    for number, path in enumerate(paths):
        if number % 500 == 0:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"def {branch}_{number}(value):\n    return value + {number}\n")
    return paths


def test_a_branch_switch_of_many_files(base: Path) -> None:
    count(Row.FAULTS_INJECTED)
    root = base / "root"
    paths = write_many(root, N_SWITCHED, "main")
    with serving(root, base / "cache", fuse=False) as folder:
        settled(folder)
        write_many(root, N_SWITCHED, "other")
        for path in paths[::10]:
            (root / path).unlink()
        folder.notify([FileChange(path) for path in paths])
        settled(folder)
        found, wanted = picture_of(folder), rebuilt(root, base / "scratch")
        assert found.pop("memories") == {} and wanted.pop("memories")
        if len(found["nodes"]) > EXACT_UP_TO:  # a graph's answers depend on the order it was built in
            wanted.pop("found")
        if N_SWITCHED > MOST_POSTINGS:  # texts kept for undo are counted when rare words are chosen
            wanted.pop("terms")
        same(found, wanted)
    count(Row.FAULTS_SURVIVED)


def test_very_many_files(base: Path) -> None:
    """Past `index.maxFiles` they are left out and counted; the rest is as a rebuild has it."""
    count(Row.FAULTS_INJECTED)
    write_many(base / "root", N_FILES, "many")
    most = int(N_FILES * 0.9)
    with serving(base / "root", base / "cache", fuse=False, max_files=most) as folder:
        assert folder.wait_idle(3600), folder.status()
        status = settled(folder)
        assert status["files"] == most and status["rejected"]
        found = picture_of(folder)
    with serving(base / "root", base / "cache", fuse=False, max_files=most) as folder:
        assert folder.wait_idle(3600), folder.status()
        again = picture_of(folder)
        assert folder.status()["embedded"] == status["embedded"], "a restart costs nothing"
    assert found.pop("found") and again.pop(
        "found"
    )  # a graph's neighbours depend on the order it was built in
    same(again, found)
    count(Row.FAULTS_SURVIVED)

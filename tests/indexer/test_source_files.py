"""The walk meets everything once and nothing bad; reading never loads, follows or opens what it must not."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from indexer import source_files
from indexer.chunk import digest_of
from indexer.source_files import FileChange, Rejected, SourceFile, SourceTree

KIB = 1024


def tree_of(root: Path, **options: int) -> SourceTree:
    return SourceTree(root, (), options.get("max_files", 1000), options.get("max_file_bytes", 1024 * KIB))


def write(root: Path, path: str, content: str | bytes = "x = 1\n") -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())


def scanned(tree: SourceTree) -> list[str]:
    return [file.path for file in tree.scan()]


def accepted(tree: SourceTree, path: str, text: str | None = None) -> SourceFile:
    result = tree.read(FileChange(path, text=text))
    assert isinstance(result, SourceFile), result
    return result


def rejected(tree: SourceTree, path: str, text: str | None = None) -> str:
    result = tree.read(FileChange(path, text=text))
    assert isinstance(result, Rejected), result
    return result.reason


def test_scan_is_sorted_by_the_parts_of_the_path(tmp_path: Path) -> None:
    for path in ["b.py", "a/z.py", "a.py", "a/b/c.py", "a-b.py", "B.py"]:
        write(tmp_path, path)
    paths = scanned(tree_of(tmp_path))
    assert paths == sorted(paths, key=lambda path: path.split("/"))
    assert len(paths) == 6


def test_scan_gives_size_and_time_of_the_disk(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "12345")
    (file,) = tree_of(tmp_path).scan()
    found = (tmp_path / "a.py").stat()
    assert (file.size, file.mtime_ns) == (5, found.st_mtime_ns)


def test_scan_skips_what_is_ignored(tmp_path: Path) -> None:
    for path in ["a.py", "gen/b.py", "node_modules/m/i.js", ".git/config"]:
        write(tmp_path, path)
    write(tmp_path, ".gitignore", "gen/")
    assert scanned(tree_of(tmp_path)) == [".gitignore", "a.py"]


def test_symbolic_links_loop_and_leave_without_effect(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, "secret.py")
    root = tmp_path / "root"
    write(root, "z/real.py")
    (root / "a").symlink_to(root / "z")
    (root / "z" / "loop").symlink_to(root)
    (root / "out").symlink_to(outside)
    (root / "secret.py").symlink_to(outside / "secret.py")
    (root / "dangling.py").symlink_to(root / "nothing")
    tree = tree_of(root)
    assert scanned(tree) == ["z/real.py"]
    assert tree.counts.links == 5
    assert rejected(tree, "secret.py") == "behind a symbolic link"
    assert rejected(tree, "out/secret.py") == "behind a symbolic link"


def test_a_workspace_reached_through_a_link_is_read(tmp_path: Path) -> None:
    write(tmp_path / "real", "a.py")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    tree = tree_of(tmp_path / "link")
    assert scanned(tree) == ["a.py"]
    assert accepted(tree, "a.py").text == "x = 1\n"


def test_deep_folders_are_no_recursion_error(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 1100)
    try:
        write_deep(tmp_path, 1100)
        start = time.process_time()
        assert scanned(tree_of(tmp_path)) == [f"{deep}/a.py"]
        assert time.process_time() - start < 60
    finally:
        remove_deep(tmp_path, 1100)


def write_deep(root: Path, depth: int) -> None:
    here = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("a.py", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def remove_deep(root: Path, depth: int) -> None:
    """From the bottom, since the standard library's own removal recurses."""
    (root / "/".join(["d"] * depth) / "a.py").unlink(missing_ok=True)
    for level in range(depth, 0, -1):
        (root / "/".join(["d"] * level)).rmdir()


def test_a_folder_that_cannot_be_listed_is_counted(tmp_path: Path) -> None:
    # Longer than the system's limit on paths; unlike a mode, this holds for the superuser too.
    write(tmp_path, "open/a.py")
    depth = 4200 // 2
    try:
        write_deep(tmp_path, depth)
        tree = tree_of(tmp_path)
        assert scanned(tree) == ["open/a.py"]
        assert tree.counts.unreadable == 1
    finally:
        (tmp_path / "/".join(["d"] * 1500)).rename(tmp_path / "e")
        remove_deep(tmp_path, 1499)


def test_folders_and_files_that_vanish_during_the_walk_are_skipped(tmp_path: Path) -> None:
    for path in ["a.py", "b/x.py", "c.py"]:
        write(tmp_path, path)
    tree = tree_of(tmp_path)
    walk = tree.scan()
    assert next(walk).path == "a.py"
    (tmp_path / "b" / "x.py").unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "c.py").unlink()
    assert list(walk) == []
    assert tree.counts.unreadable == 2


def test_a_missing_root_is_an_empty_walk(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "nowhere")
    assert scanned(tree) == []
    assert rejected(tree, "a.py") == "gone"


def test_the_cap_counts_what_it_leaves_out_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(7):
        write(tmp_path, f"{number}.py")
    tree = tree_of(tmp_path, max_files=5)
    assert len(scanned(tree)) == 5
    assert tree.left_out == 2
    assert "2 files are beyond the limit of 5" in caplog.text


def test_odd_names_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path, "new\nline.py")
    write(tmp_path, "é\u2028.py")
    Path(os.fsdecode(bytes(tmp_path) + b"/bad\xff.py")).write_text("x")
    tree = tree_of(tmp_path)
    assert scanned(tree) == ["new\nline.py", "é\u2028.py"]
    assert tree.counts.bad_names == 1
    assert accepted(tree, "new\nline.py").language == "python"
    assert rejected(tree, "bad\udcff.py") == "outside the workspace"


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.py"))
        tree = tree_of(tmp_path)
        assert scanned(tree) == []
        assert tree.counts.special == 2
        assert rejected(tree, "pipe.py") == "not a regular file"
        assert rejected(tree, "socket.py") == "not a regular file"


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    write(tmp_path, "folder/a.py")
    assert rejected(tree_of(tmp_path), "folder") == "not a regular file"


def test_a_huge_file_is_rejected_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read = source_files._read_at_most

    def spy(path: Path, n_bytes: int) -> object:
        asked.append(n_bytes)
        return read(path, n_bytes)

    monkeypatch.setattr(source_files, "_read_at_most", spy)
    with (tmp_path / "huge.py").open("wb") as file:
        file.truncate(100 << 20)
    tree = tree_of(tmp_path)
    assert rejected(tree, "huge.py") == "larger than 1024 KiB"
    assert all(n_bytes <= (1 << 20) + 1 for n_bytes in asked)
    assert scanned(tree) == []
    assert tree.counts.too_large == 1


def test_a_huge_buffer_is_rejected(tmp_path: Path) -> None:
    assert rejected(tree_of(tmp_path, max_file_bytes=2 * KIB), "a.py", "é" * 1025) == "larger than 2 KiB"


def test_binary_and_minified_are_rejected_with_their_reason(tmp_path: Path) -> None:
    write(tmp_path, "a.py", b"abc\0def")
    write(tmp_path, "b.js", "var a=1;" * 2000)
    tree = tree_of(tmp_path)
    assert rejected(tree, "a.py") == "binary"
    assert rejected(tree, "b.js").startswith("minified or data")


@pytest.mark.parametrize("path", ["../x.py", "/etc/passwd", "a//b.py", "./a.py", "", "a\0b", "a/../b.py"])
def test_paths_that_lead_elsewhere_are_rejected(tmp_path: Path, path: str) -> None:
    assert rejected(tree_of(tmp_path), path) == "outside the workspace"


def test_gone_and_ignored(tmp_path: Path) -> None:
    tree = tree_of(tmp_path)
    assert rejected(tree, "nothing.py") == "gone"
    assert tree.read(FileChange("a.py", present=False)) == Rejected("a.py", "gone")
    assert rejected(tree, "node_modules/a.js") == "ignored"
    assert rejected(tree, "node_modules/a.js", text="let a = 1;\n") == "ignored"


def test_an_unsaved_buffer_hides_the_disk(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "old")
    file = accepted(tree_of(tmp_path), "a.py", text="new é")
    assert (file.text, file.overlay, file.mtime_ns, file.size) == ("new é", True, 0, 6)
    assert accepted(tree_of(tmp_path), "unsaved.py", text="").text == ""


def test_a_buffer_with_lone_surrogates_becomes_storable(tmp_path: Path) -> None:
    file = accepted(tree_of(tmp_path), "a.py", text="a\ud800b")
    assert file.text.encode().decode() == file.text


def test_read_gives_everything_the_index_stores(tmp_path: Path) -> None:
    write(tmp_path, "pkg/a.py", "def f():\r\n    pass\r\n")
    file = accepted(tree_of(tmp_path), "pkg/a.py")
    assert file.path == "pkg/a.py"
    assert file.language == "python"
    assert file.content_digest == digest_of(file.text)
    assert file.size == 20
    assert file.mtime_ns == (tmp_path / "pkg/a.py").stat().st_mtime_ns
    assert file.rank == 1.0
    assert not file.overlay


def test_invalid_utf8_in_fine_text_is_read_with_a_replacement(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "# naïve café, déjà vu\n".encode() + b"x = '\xff'\n")
    assert accepted(tree_of(tmp_path), "a.py").text == "# naïve café, déjà vu\nx = '\ufffd'\n"

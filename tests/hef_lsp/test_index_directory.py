"""Where indexes lie: one writer each, named, and readable without being opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hef_lsp.index_directory import MOST_COPIES, IndexDirectory, IndexPlaceError, stored_status


def test_two_servers_on_one_folder_do_not_share_an_index(tmp_path: Path) -> None:
    first = IndexDirectory.claim(tmp_path / "cache", tmp_path)
    second = IndexDirectory.claim(tmp_path / "cache", tmp_path)
    assert second.path.name == first.path.name + "-2"
    first.release()
    again = IndexDirectory.claim(tmp_path / "cache", tmp_path)
    assert again.path == first.path
    other = IndexDirectory.claim(tmp_path / "cache", tmp_path / "other")
    assert other.path not in {first.path, second.path}
    for place in (again, second, other):
        place.release()


def test_the_folder_says_whose_it_is(tmp_path: Path) -> None:
    place = IndexDirectory.claim(tmp_path / "cache", tmp_path / "project")
    assert json.loads((place.path / "workspace.json").read_text()) == {"root": str(tmp_path / "project")}
    place.release()


def test_a_link_to_the_folder_means_the_same_index(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    place = IndexDirectory.claim(tmp_path / "cache", tmp_path / "real")
    place.release()
    linked = IndexDirectory.claim(tmp_path / "cache", tmp_path / "link")
    assert linked.path == place.path
    linked.release()


def test_too_many_servers_are_told(tmp_path: Path) -> None:
    places = [IndexDirectory.claim(tmp_path / "cache", tmp_path) for _ in range(MOST_COPIES)]
    with pytest.raises(IndexPlaceError, match="8 other servers hold an index"):
        IndexDirectory.claim(tmp_path / "cache", tmp_path)
    for place in places:
        place.release()


def test_a_cache_that_cannot_be_made_is_told_and_a_temporary_folder_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = IndexDirectory.claim(tmp_path / "file" / "cache", tmp_path)
    assert "make it writable or choose another with --cache-dir" in place.note
    assert place.writes and place.path.stat().st_mode & 0o777 == 0o700
    place.release()
    assert not place.path.exists()


def test_without_even_a_temporary_folder_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(IndexPlaceError, match="make it writable or choose another with --cache-dir"):
        IndexDirectory.claim(tmp_path / "file" / "cache", tmp_path)


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(37, "No locks available")])
def test_on_a_filesystem_without_locks_the_index_is_private(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lock: object) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    place = IndexDirectory.claim(tmp_path / "cache", tmp_path)
    assert place.writes and "lost when the server ends" in place.note
    place.release()


def test_a_claim_that_failed_does_not_keep_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("hef_lsp.index_directory._write_json", refuse)
        with pytest.raises(IndexPlaceError, match="No space left"):
            IndexDirectory.claim(tmp_path / "cache", tmp_path)
    place = IndexDirectory.claim(tmp_path / "cache", tmp_path, share=True)
    assert place.writes and not place.path.name.endswith("-2")
    place.release()


def test_a_second_server_shares_and_takes_over(tmp_path: Path) -> None:
    first = IndexDirectory.claim(tmp_path / "cache", tmp_path, share=True)
    second = IndexDirectory.claim(tmp_path / "cache", tmp_path, share=True)
    assert first.writes and not second.writes and second.path == first.path and second.note
    assert not second.take_over()
    first.release()
    assert second.take_over() and second.take_over() and not second.note
    second.release()


def test_wipe_removes_the_index_alone(tmp_path: Path) -> None:
    place = IndexDirectory.claim(tmp_path / "cache", tmp_path)
    place.wipe()
    place.index.mkdir()
    (place.index / "store.sqlite").write_text("x")
    place.wipe()
    assert not place.index.exists() and (place.path / "workspace.json").exists()
    place.release()


def test_stored_status_is_the_newest_whole_note(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert stored_status(tmp_path, cache) is None
    place = IndexDirectory.claim(cache, tmp_path)
    place.note_status({"files": 3, "root": tmp_path})
    assert stored_status(tmp_path, cache) == {"files": 3, "root": str(tmp_path)}
    (place.path / "status.json").write_text('{"torn')
    assert stored_status(tmp_path, cache) is None
    place.release()

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


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexPlaceError, match="make it writable or choose another with --cache-dir"):
        IndexDirectory.claim(tmp_path / "file" / "cache", tmp_path)


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

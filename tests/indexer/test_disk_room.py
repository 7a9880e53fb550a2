"""The limit on the disk that an index may take: what is refused, what goes, what is said, what goes on."""

from pathlib import Path

from indexer.disk_room import NO_LIMIT, NO_ROOM, TOO_MUCH, DiskRoom, live_bytes
from indexer.source_files import FileChange
from tests.indexer.index_rig import Rig

N_FILES = 24


def source(number: int, salt: str = "") -> str:
    return "".join(f"def name_{salt}_{number}_{i}(value):\n    return value + {i}\n\n\n" for i in range(16))


def rig_with_room(tmp_path: Path, most_bytes: int = NO_LIMIT, fuses: bool = True) -> Rig:
    rig = Rig(tmp_path / "root", tmp_path / "cache")
    for number in range(N_FILES):
        rig.write(f"folder/file{number}.py", source(number))
    rig.index.close()
    rig.open(max_disk=most_bytes)
    rig.index.updater.scan()
    if fuses:
        rig.index.updater.fuse_pending()
    return rig


def bytes_without_vectors(tmp_path: Path) -> int:
    return live_bytes(rig_with_room(tmp_path / "whole", fuses=False).index._store)


def test_no_more_files_are_read_than_there_is_room_for_and_it_is_said(tmp_path: Path) -> None:
    whole = bytes_without_vectors(tmp_path)
    rig = rig_with_room(tmp_path, whole // 2)
    status = rig.index.status()
    assert 0 < status.files < N_FILES
    assert status.rejected[NO_ROOM] == N_FILES - status.files
    assert any("raise index.maxDiskMib" in note for note in status.index_notes)
    assert live_bytes(rig.index._store) <= TOO_MUCH * whole // 2
    assert rig.index.view().search_terms(["name"], 3), "what is in it is found"


def test_an_edit_is_followed_where_there_is_no_room(tmp_path: Path) -> None:
    """What the edit replaces is not kept for undo, so forty edits take no more than one."""
    whole = bytes_without_vectors(tmp_path)
    rig = rig_with_room(tmp_path, whole // 2)
    (path,) = list(rig.index.view().files)[:1]
    sizes = []
    for salt in range(40):
        rig.write(path, source(0, f"edit{salt}"))
        rig.changed(path)
        sizes.append(live_bytes(rig.index._store))
    assert "edit39" in rig.index.view().file_chunks(path)[0].text
    assert max(sizes) <= 1.1 * max(sizes[:10])


def test_an_open_buffer_is_taken_in_any_case(tmp_path: Path) -> None:
    rig = rig_with_room(tmp_path, 1)
    assert rig.index.status().files == 0
    rig.index.updater.apply([FileChange("folder/file1.py", text=source(1))])
    assert list(rig.index.view().files) == ["folder/file1.py"]


def test_more_room_is_used_at_the_next_start(tmp_path: Path) -> None:
    whole = bytes_without_vectors(tmp_path)
    rig = rig_with_room(tmp_path, whole // 2)
    rig.reopen()
    rig.settle()
    assert rig.index.status().files == N_FILES
    assert not any("maxDiskMib" in note for note in rig.index.status().index_notes)


def test_less_room_takes_what_can_be_made_again(tmp_path: Path) -> None:
    """Texts for undo, then dense vectors; the file itself becomes smaller, and what is indexed stays so."""
    rig = rig_with_room(tmp_path)
    n_bytes = rig.index.status().bytes_on_disk
    view = rig.index.view()
    digests = [node.digest for node in view.hierarchy.nodes()]
    assert view.fused(digests)
    rig.index.close()
    rig.open(max_disk=bytes_without_vectors(tmp_path) // 2)
    rig.settle()
    status = rig.index.status()
    assert (status.files, status.pending) == (N_FILES, 0)
    assert not rig.index.view().fused(digests)
    assert status.bytes_on_disk < n_bytes


def test_files_of_a_batch_share_the_room_that_is_left(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "root", tmp_path / "cache")
    room = DiskRoom(rig.index._store, live_bytes(rig.index._store) + 30_000)
    room.look()
    assert [room.takes(5_000) for _ in range(3)] == [True, True, False]

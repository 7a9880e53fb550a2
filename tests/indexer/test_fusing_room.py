"""The limit on the disk that memories may take."""

from pathlib import Path

from indexer.packed import packed_size
from tests.indexer.index_rig import Rig


def rig_with_room(tmp_path: Path, n_nodes: int) -> Rig:
    """Ten files, of which `n_nodes` chunks or parents may have a memory."""
    rig = Rig(tmp_path / "root", tmp_path / "cache")
    for number in range(10):
        rig.write(f"folder/file{number}.py", f"def function{number}():\n    return {number}\n")
    rig.index.close()
    rig.open(fused_bytes=n_nodes * packed_size(rig.fuser.n_vectors * rig.fuser.dimension))
    rig.settle()
    return rig


def test_no_more_is_fused_than_there_is_room_for(tmp_path: Path) -> None:
    rig = rig_with_room(tmp_path, 4)
    status = rig.index.status()
    assert status.encoded + status.fused == 4
    assert status.pending == 0
    assert any("raise index.maxFusedMib" in note for note in status.index_notes)


def test_an_index_that_is_full_stays_so_when_opened_again(tmp_path: Path) -> None:
    rig = rig_with_room(tmp_path, 4)
    before = rig.index.status().encoded
    rig.index.close()
    rig.open(fused_bytes=4 * packed_size(rig.fuser.n_vectors * rig.fuser.dimension))
    rig.settle()
    assert rig.index.status().encoded == before


def test_more_room_is_used_at_the_next_start(tmp_path: Path) -> None:
    rig = rig_with_room(tmp_path, 4)
    rig.index.close()
    rig.open()
    rig.settle()
    status = rig.index.status()
    assert status.pending == 0
    assert not any("maxFusedMib" in note for note in status.index_notes)
    view = rig.index.view()
    digests = [node.digest for node in view.hierarchy.nodes() if node.n_chunks]
    assert view.fused(digests) == set(digests)


def test_with_room_for_all_nothing_is_said(tmp_path: Path) -> None:
    assert not any("maxFusedMib" in note for note in rig_with_room(tmp_path, 1000).index.status().index_notes)

"""What was missed is fused first."""

from pathlib import Path

from indexer.hierarchy import NodeKind
from indexer.wishes import MOST_WISHES, Wishes
from tests.indexer.index_rig import Rig


def test_the_last_wish_comes_first_and_the_oldest_are_forgotten() -> None:
    wishes = Wishes()
    wishes.add(["a", "b"])
    wishes.add(["c", "a"])
    assert wishes.ranks() == {"c": 0, "a": 1, "b": 2}
    wishes.add([str(n) for n in range(MOST_WISHES)])
    assert len(wishes.ranks()) == MOST_WISHES and "a" not in wishes.ranks()


def test_what_is_wanted_later_comes_last_and_is_forgotten_first() -> None:
    wishes = Wishes()
    wishes.add(["a", "b"])
    wishes.add(["later", "b"], for_later=True)
    wishes.add(["latest"], for_later=True)
    wishes.add(["c"])
    assert list(wishes.ranks()) == ["c", "a", "b", "later", "latest"]
    wishes.add([str(n) for n in range(MOST_WISHES - 4)])
    assert "latest" not in wishes.ranks() and "later" in wishes.ranks()


def chunks_of(rig: Rig) -> dict[str, str]:
    """The digest of each file's only chunk."""
    nodes = rig.index.view().hierarchy.nodes()
    return {node.path: node.digest for node in nodes if node.kind is NodeKind.CHUNK}


def scanned(rig: Rig) -> Rig:
    for number in range(10):
        rig.write(f"folder{number}/file.py", f"def function{number}():\n    return {number}\n")
    rig.index.updater.scan()
    return rig


def test_chunks_that_were_missed_are_fused_before_those_near_open_files(tmp_path: Path) -> None:
    rig = scanned(Rig(tmp_path / "root", tmp_path / "cache"))
    digests = chunks_of(rig)
    wished = [digests["folder7/file.py"], digests["folder4/file.py"]]
    rig.index.view().wish_for([*wished, "of nothing"])
    rig.index.updater.fuse_pending(max_batches=1, first=["folder1/file.py"])
    assert rig.index.view().fused(list(digests.values())) == set(wished)
    rig.index.updater.fuse_pending()
    assert rig.index.view().fused(list(digests.values())) == set(digests.values())


def test_where_only_what_was_missed_is_wanted_nothing_else_is_fused(tmp_path: Path) -> None:
    rig = scanned(Rig(tmp_path / "root", tmp_path / "cache", fuse_missed_only=True))
    assert rig.index.updater.pending() == 0
    rig.index.updater.fuse_pending()
    assert rig.fuser.n_encoded == 0
    calls: list[int] = []
    rig.index.on_wish(lambda: calls.append(rig.index.updater.pending()))
    wished = chunks_of(rig)["folder3/file.py"]
    rig.index.view().wish_for([])
    assert calls == []
    rig.index.view().wish_for([wished])
    assert calls == [1]
    rig.index.updater.fuse_pending()
    status = rig.index.status()
    assert (status.encoded, status.fused, status.pending) == (1, 0, 0)
    assert rig.index.view().fused([wished]) == {wished}
    rig.index.view().wish_for([wished])
    assert rig.index.updater.pending() == 0


def test_what_was_missed_and_is_gone_is_not_wanted_any_more(tmp_path: Path) -> None:
    rig = scanned(Rig(tmp_path / "root", tmp_path / "cache", fuse_missed_only=True))
    rig.index.view().wish_for([chunks_of(rig)["folder3/file.py"]])
    rig.delete("folder3/file.py")
    rig.changed("folder3/file.py")
    assert rig.index.updater.pending() == 0
    rig.index.updater.fuse_pending()
    assert rig.index.status().encoded == 0

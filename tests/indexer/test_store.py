"""The database survives what happens to files, and says what happened."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from index_rig import Rig, functions, picture

from indexer.collecting import collect
from indexer.errors import IndexReadOnly, IndexUnwritable
from indexer.source_files import FileChange
from indexer.store import DATABASE, IndexStore
from indexer.store_identity import StoreIdentity

IDENTITY = StoreIdentity(1, "words")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "work", tmp_path / "cache")
    rig.write("a.py", functions(6))
    rig.write("b.py", functions(3, start=30))
    rig.settle()
    return rig


def damage_header(database: Path) -> None:
    database.write_bytes(b"this is no database at all, " * 200)


def damage_middle(database: Path) -> None:
    data = bytearray(database.read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 64] = b"\xff" * 64
    database.write_bytes(bytes(data))


def truncate(database: Path) -> None:
    data = database.read_bytes()
    database.write_bytes(data[: len(data) // 2 + 100])


@pytest.mark.parametrize("damage", [damage_header, damage_middle, truncate])
def test_a_damaged_database_is_moved_aside_said_and_made_anew(rig: Rig, damage: object) -> None:
    before = picture(rig.index)
    rig.index._store.close(clean=False)
    rig.index._lock.release()
    for suffix in ("-wal", "-shm"):
        (rig.cache / (DATABASE + suffix)).unlink(missing_ok=True)
    damage(rig.cache / DATABASE)  # type: ignore[operator]
    rig.open()
    assert any("damaged" in note and "corrupt-1" in note for note in rig.index.status().index_notes)
    assert (rig.cache / f"{DATABASE}.corrupt-1").exists()
    rig.settle()
    assert picture(rig.index) == before


def test_an_empty_file_as_database_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()
    store = IndexStore.open(tmp_path, IDENTITY)
    assert store.files() == {}


def test_another_identity_is_made_anew_and_said(rig: Rig) -> None:
    rig.index.close()
    rig.tokenizer_id = "syllables"
    rig.open()
    status = rig.index.status()
    assert status.files == 0
    assert any("made anew" in note and "syllables" in note for note in status.index_notes)
    rig.settle()
    assert rig.index.status().files == 2


def test_another_embedder_reads_the_files_again_but_keeps_memories(rig: Rig) -> None:
    from fakes import FakeEmbedder

    encoded = rig.index.status().encoded
    rig.index.close()
    rig.embedder = FakeEmbedder(dimension=32)
    rig.open()
    rig.settle()
    status = rig.index.status()
    assert status.files == 2
    assert status.encoded == encoded
    assert len(rig.index.view().search(rig.embedder.embed(["function_1"])[0], 3)) == 3


def test_a_second_process_reads_and_does_not_write(rig: Rig) -> None:
    other = Rig.__new__(Rig)
    other.root, other.cache = rig.root, rig.cache
    other.embedder, other.fuser, other.tokenizer_id = rig.embedder, rig.fuser, rig.tokenizer_id
    index = other.open()
    assert index.status().read_only
    assert index.view().file_chunks("a.py") == rig.index.view().file_chunks("a.py")
    with pytest.raises(IndexReadOnly, match="another process"), index._store.writing():
        pass
    index.updater.apply([FileChange("a.py", text="x = 1\n")])
    assert index.view().generation == rig.index.view().generation
    index.close()
    rig.reopen()
    assert not rig.index.status().read_only


def test_a_kill_before_commit_loses_only_that_update(tmp_path: Path) -> None:
    script = (
        "import os, sys, sqlite3\n"
        "from pathlib import Path\n"
        "from indexer.store import IndexStore\nfrom indexer.store_identity import StoreIdentity\n"
        "store = IndexStore.open(Path(sys.argv[1]), StoreIdentity(1, 'words'))\n"
        "with store.writing(): store.set_meta('first', 'kept')\n"
        "with store.writing():\n"
        "    store.set_meta('second', 'lost')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60)
    assert result.returncode == -9
    store = IndexStore.open(tmp_path, IDENTITY)
    assert (store.meta("first"), store.meta("second")) == ("kept", None)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IndexUnwritable, match=r"cannot be written .*make it writable"):
        IndexStore.open(tmp_path / "file" / "below", IDENTITY)


def test_a_full_disk_is_said_and_changes_nothing(rig: Rig) -> None:
    before = picture(rig.index)
    store = rig.index._store
    (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
    store.connection.execute(f"PRAGMA max_page_count = {pages}")
    rig.write("c.py", functions(40, start=100))
    with pytest.raises(IndexUnwritable, match="full"):
        rig.settle()
    assert picture(rig.index) == before
    store.connection.execute("PRAGMA max_page_count = 1000000")
    rig.settle()
    assert rig.index.status().files == 3


def test_vectors_come_back_as_they_went_within_half_precision(tmp_path: Path) -> None:
    store = IndexStore.open(tmp_path, IDENTITY)
    rows = np.random.default_rng(0).standard_normal((700, 4, 8)).astype(np.float32)
    digests = [f"d{i}" for i in range(700)]
    with store.writing():
        store.put_vectors("m", digests, rows)
    found = store.vectors([*digests, "unknown"], "m")
    assert len(found) == 700
    assert np.allclose(found["d699"].reshape(4, 8), rows[699], atol=2e-3)
    assert store.with_vectors(["d1", "nope"], "m") == {"d1"}
    assert store.vectors(digests, "other") == {}


def test_collect_forgets_only_what_nobody_holds_and_only_over_the_cap(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = picture(rig.index)
    rig.write("b.py", functions(3, start=60))
    rig.settle()
    store, present = rig.index._store, rig.index._state.is_present
    assert collect(store, present) == 0
    monkeypatch.setattr("indexer.collecting.KEPT_AT_LEAST", 0)
    monkeypatch.setattr("indexer.collecting.KEPT_SHARE", 0.0)
    seen = picture(rig.index)
    n_before = store.count_digests()
    assert collect(store, present) == n_before - len(
        {node.digest for node in rig.index.view().hierarchy.nodes()}
    )
    assert picture(rig.index) == seen
    rig.write("b.py", functions(3, start=30))
    rig.settle()
    assert picture(rig.index) == before


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = IndexStore.open(tmp_path, IDENTITY)
    store.close()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.connection.execute("SELECT 1")

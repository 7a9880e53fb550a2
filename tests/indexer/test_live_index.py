"""Incremental equals rebuild, and nothing is computed twice: the index's first promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_rig import Rig, functions, picture

from indexer.source_files import FileChange
from model.protocols import CancelSignal, FloatArray, Interrupted

T = TypeVar("T")
PATHS = ("a.py", "b.py", "pkg/c.py", "pkg/deep/d.py", "notes.md")
bodies = st.integers(0, 12).map(functions) | st.sampled_from(["", "x = 1\n", "\n\n", "def broken(:\n  ("])
steps = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(PATHS), bodies),
    st.tuples(st.just("delete"), st.sampled_from(PATHS), st.just("")),
    st.tuples(st.just("overlay"), st.sampled_from(PATHS), bodies),
    st.tuples(st.just("rename"), st.sampled_from(PATHS), st.just("")),
    st.tuples(st.just("fuse"), st.just(""), st.just("")),
    st.tuples(st.just("restart"), st.just(""), st.just("")),
)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "work", tmp_path / "cache")


def perform(rig: Rig, action: str, path: str, text: str) -> None:
    if action == "write":
        rig.write(path, text)
        rig.changed(path)
    elif action == "delete":
        rig.delete(path)
        rig.changed(path)
    elif action == "overlay":
        rig.index.updater.apply([FileChange(path, text=text)])
    elif action == "rename" and (rig.root / path).exists():
        (rig.root / path).rename(rig.root / "renamed.py")
        rig.changed(path, "renamed.py")
    elif action == "fuse":
        rig.index.updater.fuse_pending(max_batches=1)
    elif action == "restart":
        rig.reopen()


@given(st.lists(steps, max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_incremental_equals_rebuild(history: list[tuple[str, str, str]]) -> None:
    with TemporaryDirectory() as folder:
        rig = Rig(Path(folder) / "work", Path(folder) / "cache")
        for action, path, text in history:
            perform(rig, action, path, text)
        for path in PATHS:  # every buffer is closed: the disk counts again
            rig.changed(path)
        rig.settle()
        other = rig.rebuilt()
        assert picture(rig.index) == picture(other.index)
        assert rig.index.updater.pending() == other.index.updater.pending() == 0
        rig.index.close()
        other.index.close()


def test_fusing_that_is_interrupted_goes_on_where_it_was(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.write("a.py", functions(3))
    rig.changed("a.py")
    encode, calls = rig.fuser.encode, list[int]()

    def interrupted(texts: Sequence[str], cancel: CancelSignal) -> FloatArray:
        calls.append(len(texts))
        if len(calls) == 1:
            raise Interrupted
        return encode(texts, cancel)

    monkeypatch.setattr(rig.fuser, "encode", interrupted)
    before = rig.index.updater.pending()
    rig.index.updater.fuse_pending()
    assert len(calls) == 1
    assert rig.index.updater.pending() == before > 0
    rig.index.updater.fuse_pending()
    assert rig.index.updater.pending() == 0


def test_one_edit_encodes_one_chunk_and_fuses_its_ancestors(rig: Rig) -> None:
    for i in range(5):
        rig.write(f"pkg/mod{i}.py", functions(6, start=10 * i))
    rig.settle()
    before = rig.index.status()
    text = functions(6, start=20).replace("offset_3", "changed_3", 1)
    rig.write("pkg/mod2.py", text)
    rig.settle()
    after = rig.index.status()
    (changed,) = [c for c in rig.index.view().file_chunks("pkg/mod2.py") if "changed_3" in c.text]
    ancestors = rig.index.view().hierarchy.ancestors(
        next(n.id for n in rig.index.view().hierarchy.nodes() if n.digest == changed.digest)
    )
    assert after.embedded - before.embedded == 1
    assert after.encoded - before.encoded == 1
    assert after.fused - before.fused == len(ancestors)
    assert after.generation == before.generation + 1


def test_restart_computes_nothing(rig: Rig) -> None:
    rig.write("a.py", functions(8))
    rig.settle()
    before, seen = rig.index.status(), picture(rig.index)
    n_embedded, n_encoded, n_fused = rig.embedder.n_embedded, rig.fuser.n_encoded, rig.fuser.n_fused
    rig.reopen()
    rig.settle()
    assert picture(rig.index) == seen
    assert (rig.embedder.n_embedded, rig.fuser.n_encoded, rig.fuser.n_fused) == (
        n_embedded,
        n_encoded,
        n_fused,
    )
    assert rig.index.status().generation == before.generation


def test_undo_and_branch_switch_cost_only_what_is_new(rig: Rig) -> None:
    first, second = functions(5), functions(5, start=50)
    rig.write("a.py", first)
    rig.settle()
    rig.write("a.py", second)
    rig.settle()
    paid = rig.index.status()
    for text in (first, second, first):
        rig.write("a.py", text)
        rig.settle()
    now = rig.index.status()
    assert (now.embedded, now.encoded, now.fused) == (paid.embedded, paid.encoded, paid.fused)
    assert now.generation == paid.generation + 3


def test_a_moved_file_costs_no_chunk(rig: Rig) -> None:
    rig.write("a.py", functions(5))
    rig.settle()
    paid = rig.index.status()
    (rig.root / "a.py").rename(rig.root / "b.py")
    rig.settle()
    assert rig.index.status().encoded == paid.encoded
    assert set(rig.index.view().files) == {"b.py"}


def test_applying_twice_equals_applying_once(rig: Rig) -> None:
    rig.write("a.py", functions(3))
    once = rig.index.updater.apply([FileChange("a.py")])
    twice = rig.index.updater.apply([FileChange("a.py")])
    assert (once.files, once.generation) == (1, 1)
    assert (twice.files, twice.chunks_added, twice.embedded, twice.generation) == (0, 0, 0, 1)


def test_the_last_change_of_a_path_counts(rig: Rig) -> None:
    rig.index.updater.apply([FileChange("a.py", text=functions(1)), FileChange("a.py", text="y = 2\n")])
    (chunk,) = rig.index.view().file_chunks("a.py")
    assert chunk.text.strip() == "y = 2"


def test_an_overlay_hides_the_disk_and_a_restart_reads_the_disk(rig: Rig) -> None:
    rig.write("a.py", "on_disk = 1\n")
    rig.settle()
    rig.index.updater.apply([FileChange("a.py", text="in_buffer = 1\n")])
    assert "in_buffer" in rig.index.view().file_chunks("a.py")[0].text
    rig.reopen()
    rig.settle()
    assert "on_disk" in rig.index.view().file_chunks("a.py")[0].text


def test_a_held_view_never_changes(rig: Rig) -> None:
    rig.write("a.py", functions(6))
    rig.write("b.py", functions(3, start=40))
    rig.settle()
    held = rig.index.view()
    key = rig.embedder.embed(["function_2 scale_2"])[0]
    nodes, found = list(held.hierarchy.nodes()), held.search(key, 5)
    texts = [chunk.text for chunk in held.file_chunks("a.py")]
    rig.write("a.py", functions(6, start=100))
    rig.delete("b.py")
    rig.settle()
    assert list(held.hierarchy.nodes()) == nodes
    assert held.search(key, 5) == found
    assert [chunk.text for chunk in held.file_chunks("a.py")] == texts
    assert held.memories([nodes[0].digest]).keys() == {nodes[0].digest}
    assert rig.index.view().search(key, 5) != found


def test_search_finds_by_key_and_by_terms(rig: Rig) -> None:
    rig.write("net.py", "def open_socket(address, port):\n    return connect_stream(address, port)\n")
    rig.write("math.py", "def multiply_matrix(left, right):\n    return left @ right\n")
    rig.settle()
    view = rig.index.view()
    (best, score), *_ = view.search(rig.embedder.embed(["multiply_matrix(left, right)"])[0], 3)
    assert best.path == "math.py"
    assert 0 < score <= 1.001
    assert view.search_terms(["open_socket", "port"], 3)[0][0].path == "net.py"
    assert view.search_terms(['"; DROP', "AND"], 3) == []
    assert view.search_terms([], 3) == []


def test_a_line_is_in_the_chunk_that_begins_before_it(rig: Rig) -> None:
    text = "\n\n" + "\n\n".join(f"def work_{n}():\n    return {n}\n" for n in range(40))
    rig.write("jobs.py", text)
    rig.settle()
    view = rig.index.view()
    chunks = view.file_chunks("jobs.py")
    assert len(chunks) > 1
    for line in range(chunks[0].start_line, text.count("\n") + 3):
        node = view.chunk_at("jobs.py", line)
        assert node is not None
        chunk = view.chunk(node.id)
        assert chunk.start_line <= line
        assert line < chunk.end_line or not any(other.start_line <= line < other.end_line for other in chunks)
    assert view.chunk_at("jobs.py", 0) is None, "blank lines before the first chunk"
    assert view.chunk_at("gone.py", 3) is None


def test_scan_takes_neighbours_of_open_documents_first(rig: Rig) -> None:
    for name in ("far/away/x.py", "near/y.py", "near/open.py", "top.py"):
        rig.write(name, f"{Path(name).stem} = 1\n")
    order: list[str] = []
    read = rig.index.updater._tree.read
    rig.index.updater._tree.read = lambda change: (order.append(change.path), read(change))[1]  # type: ignore[method-assign]
    rig.index.updater.scan(first=["near/open.py"])
    assert set(order[:2]) == {"near/open.py", "near/y.py"}


def test_scan_reports_progress_and_stops_between_batches(rig: Rig) -> None:
    class AfterFirst:
        cancelled = False

    for i in range(150):
        rig.write(f"f{i:03}.py", f"value_{i} = {i}\n")
    signal, seen = AfterFirst(), []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        signal.cancelled = True

    rig.index.updater.scan(progress=progress, cancel=signal)
    assert seen == [(64, 150)]
    assert rig.index.status().files == 64
    rig.settle()
    assert rig.index.status().files == 150
    assert picture(rig.index) == picture(rig.rebuilt().index)


@pytest.mark.parametrize("survived", range(6))
def test_a_failure_at_any_model_call_leaves_a_whole_index(tmp_path: Path, survived: int) -> None:
    rig = Rig(tmp_path / "work", tmp_path / "cache")
    for i in range(3):
        rig.write(f"m{i}.py", functions(7, start=10 * i))
    rig.index.close()
    left = [survived]

    def failing(job: Callable[[], T], /) -> T:
        if left[0] == 0:
            raise RuntimeError("killed here")
        left[0] -= 1
        return job()

    rig.open(compute=failing)
    with pytest.raises(RuntimeError, match="killed here"):
        rig.settle()
    rig.index._store.close(clean=False)
    rig.index._lock.release()
    rig.open()
    rig.settle()
    assert picture(rig.index) == picture(rig.rebuilt().index)


def test_a_failure_within_the_transaction_changes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.write("a.py", functions(3))
    rig.settle()
    before = picture(rig.index)
    rig.write("a.py", functions(4, start=9))
    with monkeypatch.context() as patch:
        patch.setattr(rig.index._store, "touch_file", lambda *_: None)
        patch.setattr(rig.index._store, "put_file", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rig.changed("a.py")
    assert picture(rig.index) == before
    rig.settle()
    assert picture(rig.index) == picture(rig.rebuilt().index)


def test_rejected_files_are_counted_by_reason_and_dropped(rig: Rig) -> None:
    rig.write("a.py", "x = 1\n")
    rig.settle()
    (rig.root / "a.py").write_bytes(b"\0\1\2" * 100)
    rig.settle()
    status = rig.index.status()
    assert (status.files, sum(status.rejected.values())) == (0, 1)
    rig.write("a.py", "x = 2\n")
    rig.settle()
    assert (rig.index.status().files, rig.index.status().rejected) == (1, {})


def test_what_the_walk_passes_over_is_counted_by_reason(rig: Rig) -> None:
    rig.write("a.py", "x = 1\n")
    with (rig.root / "huge.py").open("wb") as file:
        file.truncate(100 << 20)
    (rig.root / "loop").symlink_to(rig.root)
    (rig.root / "b.py").write_bytes(b"\0\1")
    rig.settle()
    assert rig.index.status().rejected == {"binary": 1, "symbolic link": 1, "too large": 1}


def test_the_memory_limit_drops_ancestors_from_the_search_and_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "work", tmp_path / "cache")
    rig.index.close()
    rig.open(max_memory=1)
    rig.write("a.py", functions(3))
    rig.settle()
    kinds = {node.kind.name for node, _ in rig.index.view().search(np.ones(64, np.float32), 50)}
    assert kinds == {"CHUNK"}
    assert any("memory limit" in note for note in rig.index.status().index_notes)


def test_words_are_found_after_a_branch_switch(rig: Rig) -> None:
    """Texts kept for undo stood before those of the files that are there, and pushed them out."""
    for number in range(30):
        rig.write(f"b{number}.py", f"rare_word = {number}\n")
    rig.settle()
    for number in range(30):
        rig.write(f"b{number}.py", f"filler = [{number}, {number}, {number}]\nother = rare_word + {number}\n")
    rig.settle()
    found = rig.index.view().search_terms(["rare_word"], 5)
    assert len(found) == 5


def test_a_file_that_is_ignored_from_now_on_leaves_no_text_behind(rig: Rig) -> None:
    line = "customer_list = fetch('ours', 4711)"
    rig.write("private.py", f"def fetch_customers():\n    {line}\n    return customer_list\n")
    rig.write("public.py", "def area(width, height):\n    return width * height\n")
    rig.settle()
    rig.write(".hefignore", "private.py\n")
    rig.index.updater._tree.ignore.reload()
    rig.settle()
    assert "private.py" not in rig.index.view().files
    rig.index.close()
    kept = b"".join(path.read_bytes() for path in rig.cache.rglob("*") if path.is_file())
    assert b"return width" in kept and line.encode() not in kept

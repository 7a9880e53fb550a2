"""The tree that an editor draws: what is open, what is fused, and no groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes import FakeEmbedder, FakeFuser, compute_here

from hef_lsp import outline as outlines
from hef_lsp.outline import OutlineNode, outline
from indexer.index import Index, IndexModels
from indexer.source_files import SourceTree


@dataclass
class Work:
    root: Path
    index: Index

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def settle(self) -> None:
        self.index.updater.scan()
        self.index.updater.fuse_pending()


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    root = tmp_path / "workspace"
    root.mkdir()
    count: Callable[[list[str]], list[int]] = lambda texts: [max(1, len(text) // 4) for text in texts]  # noqa: E731
    models = IndexModels(FakeEmbedder(), FakeFuser(), count, "letters")
    tree = SourceTree(root, (), 10_000, 1 << 20)
    index = Index.open(tmp_path / "cache", tree, models, compute_here, 1 << 40, 1 << 28)
    yield Work(root, index)
    index.close()


def names(node: OutlineNode) -> list[str]:
    return [child.name for child in node.children or ()]


def functions(count: int) -> str:
    return "\n\n".join(f"def function_{n}():\n" + f"    print('{n}')\n" * 40 for n in range(count))


def test_only_what_is_open_has_children(work: Work) -> None:
    work.write("sub/inner.py", "inner = 1\n")
    work.write("b.py", "b = 1\n")
    work.write("A.py", "a = 1\n")
    work.settle()
    tree = outline(work.index.view(), [])
    assert (tree.kind, names(tree)) == ("repository", ["sub", "A.py", "b.py"])
    assert [child.children for child in tree.children or ()] == [None, None, None]
    tree = outline(work.index.view(), ["directory:sub", "file:sub/inner.py", "file:gone.py"])
    (sub, *_) = tree.children or ()
    assert names(sub) == ["inner.py"]
    (inner,) = sub.children or ()
    (chunk,) = inner.children or ()
    assert (chunk.kind, chunk.path, chunk.start_line, chunk.end_line) == ("chunk", "sub/inner.py", 0, 1)


def test_groups_are_not_shown_and_order_is_kept(work: Work) -> None:
    for number in range(40):
        work.write(f"file_{number:02}.py", f"value = {number}\n")
    work.write("long.py", functions(60))
    work.settle()
    tree = outline(work.index.view(), ["file:long.py"])
    assert names(tree) == [*(f"file_{number:02}.py" for number in range(40)), "long.py"]
    long = (tree.children or ())[-1]
    starts = [chunk.start_line for chunk in long.children or ()]
    assert len(starts) == long.n_chunks > 16 and starts == sorted(starts)


def test_no_more_than_can_be_drawn(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines, "MOST_CHILDREN", 3)
    for number in range(5):
        work.write(f"file_{number}.py", f"value = {number}\n")
    work.settle()
    tree = outline(work.index.view(), [])
    assert (len(tree.children or ()), tree.n_left_out) == (3, 2)


def test_what_waits_and_what_is_fused(work: Work) -> None:
    work.write("a.py", "a = 1\n")
    work.index.updater.scan()
    before = outline(work.index.view(), [])
    assert before.memory == "waiting"
    work.index.updater.fuse_pending()
    after = outline(work.index.view(), [])
    assert (after.memory, after.digest) == ("fused", before.digest)
    assert [child.memory for child in after.children or ()] == ["fused"]

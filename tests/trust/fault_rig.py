"""A workspace whose index is made and changed by the real folder, and the picture by which two indexes
are compared. Knows no faults; those are `fault_steps`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fakes import FakeBundle, FakeEmbedder, FakeTokenizer, fake_bundle

from hef_lsp.scheduling import InferenceLane
from hef_lsp.settings import IndexSettings, Settings
from hef_lsp.workspace import WorkspaceFolder
from indexer.index import Index, IndexModels
from indexer.source_files import FileChange, SourceTree
from indexer.suffix_index import live_files
from indexer.view import IndexView

PATIENCE_S = 120.0
MEMORY = 1 << 26
QUERIES = ("total value", "class Keeper remember", "def moved offset", "number of a line")
FUNCTION = "def {name}(value):\n    total = value + {number}\n    return [total, value, '{name}']\n\n\n"


class HashedTokenizer(FakeTokenizer):
    """The same ids in every process, as a real tokenizer has: what one saved another reads."""

    def encode(self, text: str) -> list[int]:
        pieces = re.findall(r"\w+|\s+|[^\w\s]", text)
        return [
            16
            + int.from_bytes(blake2b(piece.encode("utf-8", "replace"), digest_size=2).digest(), "big")
            % 60_000
            for piece in pieces
        ]


def bundle() -> FakeBundle:
    tokenizer, made = HashedTokenizer(), fake_bundle(embedder=FakeEmbedder(16))
    made.encode = lambda texts: [tokenizer.encode(text) for text in texts]
    made.tokenizer_id = "hashed"
    return made


def module(name: str, n_functions: int = 4) -> str:
    return "".join(FUNCTION.format(name=f"{name}_{i}", number=i) for i in range(n_functions))


def plant(root: Path) -> None:
    """The workspace before anything changes."""
    for name in ("a", "b", "old", "pkg/c", "pkg/d", "pkg/deep/e", "Case"):
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(module(path.stem.lower()))
    (root / "notes.txt").write_text("a word of no language\n" * 40)


def change(root: Path) -> list[FileChange]:
    """An edit, a new file, one gone, one moved, one renamed by case alone. Again changes nothing more."""
    (root / "a.py").write_text(module("a").replace("value + 2", "value * 2000"))
    (root / "new.py").write_text(module("new", 6))
    for gone in ("b.py", "Case.py"):
        (root / gone).unlink(missing_ok=True)
    (root / "case.py").write_text(module("case"))
    (root / "moved").mkdir(exist_ok=True)
    if (root / "old.py").exists():
        (root / "old.py").rename(root / "moved" / "old.py")
    present = ("a.py", "new.py", "case.py", "moved/old.py")
    return [FileChange(path) for path in present] + [
        FileChange(path, present=False) for path in ("b.py", "Case.py", "old.py")
    ]


@contextmanager
def serving(root: Path, cache: Path, **settings: Any) -> Iterator[WorkspaceFolder]:
    """The folder as the server holds it, opened with models; its index may be anything yet."""
    lane = InferenceLane()
    chosen = Settings(index=IndexSettings(**{"quiet_ms": 0, **settings}))
    folder = WorkspaceFolder(root, chosen, cache, lane)
    try:
        folder.attach_models(bundle())  # type: ignore[arg-type]
        yield folder
    finally:
        folder.close()
        lane.close()


def settled(folder: WorkspaceFolder) -> dict[str, Any]:
    """The status at rest, which must be in order."""
    assert folder.wait_idle(PATIENCE_S), folder.status()
    status = folder.status()
    assert status["state"] == "ready" and not status["message"], status
    return status


def picture(view: IndexView) -> dict[str, Any]:
    """All that a reader can find: shape, lines, texts, memories, what searches give, the exact memory."""
    nodes = sorted(view.hierarchy.nodes(), key=lambda node: node.id)
    chunks = [chunk for path in sorted(view.files) for chunk in view.file_chunks(path)]
    memories = view.memories([node.digest for node in nodes])
    tokens = {path: ids.tolist() for part in view.memory.segments for path, ids in live_files(part)}
    return {
        "nodes": nodes,
        "chunks": chunks,
        "ranks": {path: facts.rank for path, facts in view.files.items()},
        "memories": {digest: memory.tobytes() for digest, memory in memories.items()},
        "tokens": tokens,
        "found": [_found(view, query) for query in QUERIES],
        "terms": [sorted((n.id) for n, _ in view.search_terms(query.split(), 100_000)) for query in QUERIES],
    }


def _found(view: IndexView, query: str) -> list[tuple[float, str]]:
    (key,) = FakeEmbedder(16).embed([query])
    found = view.search(key, 1000)
    return sorted((round(float(score), 3), node.id) for node, score in found)


def rebuilt(root: Path, scratch: Path, **limits: int) -> dict[str, Any]:
    """The picture of an index of `root` made from nothing, without threads."""
    shutil.rmtree(scratch, ignore_errors=True)
    made = bundle()
    models = IndexModels(made.embedder, made.fuser, made.count_tokens, made.tokenizer_id, made.encode)
    tree = SourceTree(root, (), limits.get("max_files", 200_000), 1 << 20)
    index = Index.open(scratch, tree, models, _here, 1 << 40, MEMORY)
    try:
        index.updater.scan()
        index.updater.remember(index.view())
        index.updater.fuse_pending()
        return picture(index.view())
    finally:
        index.close()


def _here(job: Callable[[], Any], /) -> Any:
    return job()


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Fails naming the first part that differs, which a comparison of the whole would bury."""
    for part, value in wanted.items():
        assert found[part] == value, f"{part} differs from a rebuild's"


def picture_of(folder: WorkspaceFolder) -> dict[str, Any]:
    view = folder.view()
    assert view is not None
    return picture(view)


def check_survived(root: Path, cache: Path, wanted: dict[str, Any], nudges: Sequence[str] = ()) -> None:
    """A server started now on what is left comes to rest with an index equal to a rebuild's."""
    with serving(root, cache) as folder:
        settled(folder)
        if nudges:
            folder.notify([FileChange(path) for path in nudges])
            settled(folder)
        same(picture_of(folder), wanted)

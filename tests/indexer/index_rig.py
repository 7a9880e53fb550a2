"""A folder on disk with a live index over it, and the picture of an index that tests compare."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from fakes import FakeEmbedder, FakeFuser

from indexer.disk_room import NO_LIMIT
from indexer.index import Index, IndexModels
from indexer.source_files import FileChange, SourceTree

T = TypeVar("T")
MEMORY = 1 << 28


def at_once(job: Callable[[], T], /) -> T:
    """The lane of tests: runs where it is asked."""
    return job()


def count_words(texts: object) -> list[int]:
    return [max(1, len(text) // 4) for text in texts]  # type: ignore[attr-defined]


@dataclass
class Rig:
    """`root` holds the workspace, `cache` the index; `embedder` and `fuser` count their work."""

    root: Path
    cache: Path
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    fuser: FakeFuser = field(default_factory=FakeFuser)
    tokenizer_id: str = "words"
    fuse_missed_only: bool = False
    index: Index = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.open()

    def open(
        self,
        compute: Callable[[Callable[[], T]], T] = at_once,
        max_memory: int = MEMORY,
        fused_bytes: int = 1 << 40,
        max_disk: int = NO_LIMIT,
    ) -> Index:
        tree = SourceTree(self.root, (), 10_000, 1 << 20)
        models = IndexModels(
            self.embedder,
            self.fuser,
            count_words,
            self.tokenizer_id,
            fuse_missed_only=self.fuse_missed_only,
        )
        limits = (fused_bytes, max_memory)
        self.index = Index.open(self.cache, tree, models, compute, *limits, max_disk_bytes=max_disk)
        return self.index

    def reopen(self) -> Index:
        self.index.close()
        return self.open()

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())

    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def changed(self, *paths: str) -> None:
        self.index.updater.apply([FileChange(path, present=(self.root / path).exists()) for path in paths])

    def settle(self) -> None:
        self.index.updater.scan()
        self.index.updater.fuse_pending()

    def rebuilt(self, name: str = "rebuilt") -> Rig:
        """Another index of the same folder, from nothing."""
        cache = self.cache.parent / name
        shutil.rmtree(cache, ignore_errors=True)
        other = Rig(self.root, cache)
        other.settle()
        return other


def picture(index: Index) -> dict[str, object]:
    """All that a reader can see, by place: shape, lines, texts, keys, memories."""
    view = index.view()
    nodes = sorted(view.hierarchy.nodes(), key=lambda node: node.id)
    memories = view.memories([node.digest for node in nodes])
    chunks = [chunk for path in sorted(view.files) for chunk in view.file_chunks(path)]
    label_of = {digest: label for label, digest in view.places.of_label.items()}
    keys = {
        node.digest: index._state.keys.keys_of(np.array([label_of[node.digest]]))[0].round(4).tobytes()
        for node in nodes
        if node.digest in label_of
    }
    return {
        "nodes": nodes,
        "chunks": chunks,
        "keys": keys,
        "memories": {digest: memory.tobytes() for digest, memory in memories.items()},
    }


def functions(count: int, start: int = 0) -> str:
    """Source of `count` functions, each about a chunk long."""
    return "\n\n".join(
        f"def function_{i}(value, scale_{i}):\n"
        + "\n".join(f"    total_{j} = value * {i} + scale_{i} * {j} - offset_{j}" for j in range(8))
        + "\n    return total_0"
        for i in range(start, start + count)
    )

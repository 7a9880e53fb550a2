"""An index of a repository for work that ends: benchmarks, rows to judge by, training records.

Owns its limits, and that it leaves nothing behind. The server's own index is `hef_lsp.workspace`'s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from indexer.index import Index, IndexModels
from indexer.source_files import SourceTree

if TYPE_CHECKING:
    from model.bundle import ModelBundle

T = TypeVar("T")
MOST_FILES = 100_000
LARGEST_FILE_BYTES = 1 << 20
MEMORY_BYTES = 1 << 30
NOTHING_FUSED = 0


@contextmanager
def scratch_index(root: Path, models: ModelBundle, search_only: bool = True) -> Iterator[Index]:
    """The repository at `root`, scanned, nothing fused; without `search_only` it may be remembered."""
    tree = SourceTree(root, (), MOST_FILES, LARGEST_FILE_BYTES)
    parts = IndexModels(
        models.embedder,
        None,
        models.count_tokens,
        models.tokenizer_id,
        None if search_only else models.encode,
    )
    with tempfile.TemporaryDirectory(prefix="hef-lsp-index-") as folder:
        index = Index.open(Path(folder), tree, parts, _here, NOTHING_FUSED, MEMORY_BYTES)
        try:
            index.updater.scan()
            yield index
        finally:
            index.close()


def _here(job: Callable[[], T], /) -> T:
    """The lane of a command that does nothing else meanwhile."""
    return job()

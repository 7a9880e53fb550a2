"""From a repository's texts to its training records, through an index of the product's own kind.

Owns the temporary index. Which repositories is `hef_lsp.training.corpus`'s to say, where cursors fall
`indexer.dataset`'s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hef_lsp.training.corpus import Corpus
from indexer.dataset import CursorPlan, cut_records, record_files
from indexer.index import Index, IndexModels
from indexer.retriever import Retriever
from indexer.source_files import SourceTree
from model.training.records import Repository

if TYPE_CHECKING:
    from model.bundle import ModelBundle

T = TypeVar("T")
MOST_FILES = 100_000
LARGEST_FILE_BYTES = 1 << 20
MEMORY_BYTES = 1 << 30


def cut_repositories(
    corpora: Iterable[Corpus],
    models: ModelBundle,
    plan: CursorPlan,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Repository]:
    """The records of each corpus, one after the other; those without any are left out."""
    for corpus in corpora:
        with tempfile.TemporaryDirectory(prefix="hef-lsp-train-") as folder:
            repository = cut_repository(corpus, models, plan, Path(folder))
        say(f"{corpus.name}: {len(repository.files)} files, {len(repository.records)} records")
        if repository.records:
            yield repository


def cut_repository(corpus: Corpus, models: ModelBundle, plan: CursorPlan, folder: Path) -> Repository:
    """Indexes `corpus` below `folder` and searches at its cursors."""
    root = folder / "workspace"
    texts = {path: _one_line_end(text) for path, text in corpus.files.items()}
    for path, text in texts.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    tree = SourceTree(root, (), MOST_FILES, LARGEST_FILE_BYTES)
    parts = IndexModels(models.embedder, None, models.count_tokens, models.tokenizer_id)
    index = Index.open(folder / "index", tree, parts, _here, False, MEMORY_BYTES)
    try:
        index.updater.scan()
        view = index.view()
        files = record_files(view, texts)
        records = tuple(cut_records(view, files, Retriever(models.embedder), plan))
        return Repository(corpus.name, corpus.licence, files, records)
    finally:
        index.close()


def _here(job: Callable[[], T], /) -> T:
    """The lane of a command that does nothing else meanwhile."""
    return job()


def _one_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")

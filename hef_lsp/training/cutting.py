"""From a repository's texts to its training records, through an index of the product's own kind.

Owns the texts on disk while they are indexed. Which repositories is `hef_lsp.training.corpus`'s to
say, where cursors fall `indexer.dataset`'s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hef_lsp.scratch_index import scratch_index
from hef_lsp.training.corpus import Corpus
from indexer.dataset import CursorPlan, cut_records, record_files
from indexer.retriever import Retriever
from model.training.records import Repository

if TYPE_CHECKING:
    from model.bundle import ModelBundle


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


def cut_repository(corpus: Corpus, models: ModelBundle, plan: CursorPlan, root: Path) -> Repository:
    """Writes `corpus` to the folder `root`, indexes it and searches at its cursors."""
    texts = {path: _one_line_end(text) for path, text in corpus.files.items()}
    for path, text in texts.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    with scratch_index(root, models) as index:
        view = index.view()
        files = record_files(view, texts)
        records = tuple(cut_records(view, files, Retriever(models.embedder), plan))
        return Repository(corpus.name, corpus.licence, files, records)


def _one_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")

"""Rows by which a training run assesses itself: of benchmarks, masked and searched, or of records kept apart.

Owns the masking and the search. A row's file enters the index only up to its cursor, as in
`hef_lsp.evaluation.runner`; `foreign` are hits of another repository, which must not help. The rows are for
assessment, never for training; their format is `model.training.assessment`'s.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from hef_lsp.context import CHARS_PER_TOKEN, LINES_AROUND_CURSOR, QUERY_WINDOW
from hef_lsp.scratch_index import scratch_index
from hef_lsp.settings import ContextSettings
from indexer.index import Index
from indexer.retriever import Query, Retriever, near_text, query_text
from indexer.source_files import FileChange
from model.evaluation.benchmarks import BenchmarkRow
from model.training.assessment import AssessmentRow
from model.training.records import Repository

if TYPE_CHECKING:
    from model.bundle import ModelBundle

PREFIX_CHARS = 12_000
LINE_END = "\n"
OnRow = Callable[[], None]


class TooFewRepositories(Exception):
    """Rows of one repository alone: there is no other whose hits could be the wrong ones."""


def assessment_rows(
    benchmark: str, rows: Iterable[BenchmarkRow], sources: Path, models: ModelBundle, on_row: OnRow
) -> Iterator[tuple[str, AssessmentRow]]:
    """Rows whose target is one line, each with the name of its repository; `foreign` is empty yet."""
    single = sorted((row for row in rows if not row.is_multiline), key=lambda row: row.repository)
    retriever = Retriever(models.embedder)
    for repository, group in groupby(single, key=lambda row: row.repository):
        with scratch_index(sources / repository, models) as index:
            for row in group:
                prefix, hits = row.prefix[-PREFIX_CHARS:], _hits(row, index, retriever)
                yield repository, AssessmentRow(benchmark, row.path, prefix, _target(row, sources), hits, ())
                on_row()


def with_foreign(rows: Sequence[tuple[str, AssessmentRow]], seed: int) -> list[AssessmentRow]:
    """Each row with the hits of a row of another repository, in a random order. Raises TooFewRepositories."""
    chooser = random.Random(seed)
    known = [(repository, row) for repository, row in rows if row.hits]
    if rows and len({repository for repository, _ in known}) < 2:
        raise TooFewRepositories(
            "all rows with hits are of one repository; draw more rows, so that there is another one"
        )
    made = []
    for repository, row in rows:
        others = (chooser.choice(known) for _ in iter(int, 1))
        foreign = next(other for name, other in others if name != repository)
        made.append(replace(row, foreign=foreign.hits))
    chooser.shuffle(made)
    return made


def rows_of_records(
    repositories: Sequence[Repository], n_rows: int, seed: int
) -> list[tuple[str, AssessmentRow]]:
    """At most `n_rows` lines at cursors of training records, for a run that has no benchmark at hand.

    Take repositories that are not trained on.
    """
    chooser = random.Random(seed)
    places = [(repository, record) for repository in repositories for record in repository.records]
    made: list[tuple[str, AssessmentRow]] = []
    for repository, record in chooser.sample(places, len(places)):
        text = repository.files[record.file].text
        start = text.rfind(LINE_END, 0, record.offset) + 1
        line = text[start:].partition(LINE_END)[0]
        if line.strip() and start and len(made) < n_rows:
            shown = ((repository.files[file], place) for file, place in record.hits)
            hits = tuple((file.path, file.chunk(place)) for file, place in shown)
            path, prefix = repository.files[record.file].path, text[:start][-PREFIX_CHARS:]
            made.append((repository.name, AssessmentRow("records", path, prefix, line + LINE_END, hits, ())))
    return made


def _hits(row: BenchmarkRow, index: Index, retriever: Retriever) -> tuple[tuple[str, str], ...]:
    """(path, text), best first, of chunks outside the prompt's window."""
    settings, line = ContextSettings(), row.prefix.count(LINE_END)
    n_above = row.prefix[-settings.prefix_tokens * CHARS_PER_TOKEN :].count(LINE_END)
    shown = max(0, line - max(n_above, LINES_AROUND_CURSOR)), line + LINES_AROUND_CURSOR + 1
    around = row.prefix[-QUERY_WINDOW:]
    query = Query(
        query_text(around, ""), row.path, shown, settings.hits, ancestors=False, near=near_text(around, "")
    )
    index.updater.apply([FileChange(row.path, text=row.prefix)])
    try:
        found = retriever.retrieve(index.view(), query)
        return tuple((hit.node.path, hit.text) for hit in found)
    finally:
        index.updater.apply([FileChange(row.path)])


def _target(row: BenchmarkRow, sources: Path) -> str:
    """The line as it stands in the file, with its indentation and end; else what the benchmark says."""
    data = (sources / row.repository / row.path).read_bytes()
    text = data.decode("utf-8", "replace").replace("\r\n", LINE_END).replace("\r", LINE_END)
    line = text[len(row.prefix) :].partition(LINE_END)[0] if text.startswith(row.prefix) else ""
    return (line if line.strip() else row.target.rstrip(LINE_END)) + LINE_END

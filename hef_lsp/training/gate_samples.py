"""Samples for the gate: what model and memory would say at each token of training targets.

Owns the replay of records: a repository's memory without the target file, the file up to the cursor, the
product's prompt. What is read off each step is `model.gate_sampling`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from indexer.open_file_memory import OpenFileMemory
from indexer.suffix_index import SuffixIndex, SuffixSnapshot
from model.gate_fitting import Line
from model.gate_sampling import gate_samples_of
from model.generator import HfGenerator
from model.prompt import PromptLimits, PromptPlan, Snippet, build_prompt
from model.training.records import Record, Repository

MOST_TOKENS = 10_000_000
MOST_CHARS = 6_000_000
"""Larger repositories are left out: they take long to read and are one repository all the same."""
FEWEST_FILES = 5
LONGEST_LINE = 200
N_LINES = 4
"""Read along at each cursor: what costs is the prompt. The memory holds the file up to the cursor only."""
LIMITS = PromptLimits(prefix_tokens=384, suffix_tokens=0, text_tokens=512, context_window=8192, reserve=64)
N_HITS = 6


def is_fit(repository: Repository) -> bool:
    """Whether there is something to remember, and not too much."""
    n_chars = sum(len(file.text) for file in repository.files)
    return len(repository.files) >= FEWEST_FILES and n_chars <= MOST_CHARS


def memory_of(repository: Repository, generator: HfGenerator) -> SuffixSnapshot:
    """All files of a repository."""
    index = SuffixIndex(MOST_TOKENS)
    encoded = generator.tokenizer.encode_batch([file.text for file in repository.files])
    paths = [file.path for file in repository.files]
    index.update({path: np.array(ids, dtype=np.int64) for path, ids in zip(paths, encoded, strict=True)})
    return index.snapshot()


def gate_lines(
    repository: Repository, generator: HfGenerator, n_records: int, inside: bool, chooser: random.Random
) -> Iterator[Line]:
    """Of at most `n_records` cursors, `N_LINES` lines without context and the same with text.

    Cursors stand where a line begins, or, with `inside`, within one.
    """
    records = [record for record in repository.records if not inside or _is_inside(repository, record)]
    snapshot = memory_of(repository, generator) if records else SuffixSnapshot()
    for record in chooser.sample(records, min(n_records, len(records))):
        yield from _lines(repository, record, generator, snapshot, inside)


def _is_inside(repository: Repository, record: Record) -> bool:
    text = repository.files[record.file].text
    return bool(text[text.rfind("\n", 0, record.offset) + 1 : record.offset].strip())


def _lines(
    repository: Repository,
    record: Record,
    generator: HfGenerator,
    snapshot: SuffixSnapshot,
    inside: bool,
) -> Iterator[Line]:
    file = repository.files[record.file]
    cursor = record.offset if inside else file.text.rfind("\n", 0, record.offset) + 1
    prefix, written = file.text[:cursor], file.text[cursor:].split("\n")[:N_LINES]
    if not written[0].strip() or not prefix.strip() or max(map(len, written)) > LONGEST_LINE:
        return
    text = "\n".join(written).rstrip()
    memory = OpenFileMemory(generator.tokenizer.encode).session(snapshot, file.path, prefix)
    shown = [(repository.files[number], place) for number, place in record.hits[:N_HITS]]
    snippets = tuple(Snippet(other.path, other.chunk(place), "#") for other, place in shown)
    for told in ((), snippets):
        plan = PromptPlan(prefix, "", file.path, "#", told)
        prompt = build_prompt(plan, LIMITS, generator.tokenizer, None).prompt
        yield from gate_samples_of(generator, replace(prompt, memory=memory), text)

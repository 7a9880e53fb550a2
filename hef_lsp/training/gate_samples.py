"""Samples for the gate: what model and memory would say at each token of training targets.

Owns the replay of records: a repository's memory without the target file, the file up to the cursor, the
product's prompt. What is read off each step is `model.gate_sampling`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from indexer.suffix_index import SuffixIndex, SuffixSnapshot
from indexer.suffix_session import SuffixSession
from model.gate_fitting import GateSample
from model.gate_sampling import gate_samples_of
from model.loading import LoadedModel
from model.prompt import PromptLimits, PromptPlan, Snippet, build_prompt
from model.training.records import Record, Repository

TARGET_TOKENS = 48
MOST_TOKENS = 10_000_000
OWN_CHARS = 60_000


def memory_of(repository: Repository, loaded: LoadedModel) -> SuffixSnapshot:
    """All files of a repository."""
    index = SuffixIndex(MOST_TOKENS)
    encoded = loaded.tokenizer.encode_batch([file.text for file in repository.files])
    paths = [file.path for file in repository.files]
    index.update({path: np.array(ids, dtype=np.int64) for path, ids in zip(paths, encoded, strict=True)})
    return index.snapshot()


def gate_samples(
    repository: Repository, loaded: LoadedModel, n_records: int, source: random.Random
) -> Iterator[GateSample]:
    """Steps where model and memory name different tokens and one of them is right."""
    snapshot = memory_of(repository, loaded)
    for record in source.sample(repository.records, min(n_records, len(repository.records))):
        yield from _samples(repository, record, loaded, snapshot, with_text=source.random() < 0.5)


def _samples(
    repository: Repository, record: Record, loaded: LoadedModel, snapshot: SuffixSnapshot, with_text: bool
) -> Iterator[GateSample]:
    file = repository.files[record.file]
    prefix, rest = file.text[: record.offset], file.text[record.offset :]
    # From the line's start, so that prompt and target meet where tokens do.
    start = prefix.rfind("\n") + 1
    prefix, rest = prefix[:start], prefix[start:] + rest
    if not prefix:
        return
    hits = record.hits[:6] if with_text else ()
    shown = [(repository.files[number], place) for number, place in hits]
    snippets = tuple(Snippet(other.path, other.chunk(place), "#") for other, place in shown)
    plan = PromptPlan(prefix[:-1], "", file.path, "#", snippets)
    limits = PromptLimits(384, 0, 512, 8192, 64)
    prompt = list(build_prompt(plan, limits, loaded.tokenizer, None).prompt.token_ids)
    target = loaded.tokenizer.encode("\n" + rest[:400])[:TARGET_TOKENS]
    session = SuffixSession(snapshot, file.path, loaded.tokenizer.encode(prefix[-OWN_CHARS:]))
    yield from gate_samples_of(loaded, prompt, target, session)

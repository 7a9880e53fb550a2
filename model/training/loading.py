"""Batches made by worker processes, so that the accelerator never waits for a tokenizer.

Owns the mixture of kinds and the sizes of each. Workers share the records of the process they are
forked from.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from model.protocols import FimTemplate
from model.tokenization import HfTokenizer
from model.training.batches import Batch, Sizes, make_batch
from model.training.examples import ExampleMaker, ExamplePlan
from model.training.records import Repository

DENSE, PARENTS = "dense", "parents"
ALIGN: Mapping[str, float] = {"reconstruct": 0.25, "continue": 0.75}
TASK: Mapping[str, float] = {
    "reconstruct": 0.06,
    "continue": 0.10,
    DENSE: 0.54,
    PARENTS: 0.12,
    "text": 0.18,
}
MIXTURES = (ALIGN, TASK)


@dataclass(frozen=True)
class LoadPlan:
    """What batches are made of. Each is drawn by `seed` and its number alone, from `first` on.

    `leaves_only`: no parents. `align_batches`: so many belong to the first stage, whatever the clock says;
    None leaves it to the trainer.
    """

    plan: ExamplePlan
    n_vectors: int
    chunk_tokens: int = 136
    rows: int = 96
    workers: int = 14
    seed: int = 0
    first: int = 0
    align_batches: int | None = None
    leaves_only: bool = False

    def mixture(self, stage: int) -> Mapping[str, float]:
        """The share of each kind of batch in a stage."""
        shares = dict(MIXTURES[stage])
        if self.leaves_only and PARENTS in shares:
            shares[DENSE] += shares.pop(PARENTS)
        return shares

    def sizes(self) -> dict[str, Sizes]:
        """Of each kind of batch."""
        plan, memory = self.plan, self.n_vectors
        text = plan.prefix_tokens + plan.suffix_tokens + plan.target_tokens + 32
        chunk = self.chunk_tokens + memory
        told = text + plan.text_tokens if plan.teaches else 0
        task = Sizes(self.rows, text, plan.target_tokens, plan.n_hits, chunk, memory, told=told)
        align = Sizes(2 * self.rows, self.chunk_tokens + 32, self.chunk_tokens, 4, chunk, memory)
        half = max(1, self.rows // 2)
        return {
            "reconstruct": replace(align, n_nodes=1, n_rows=3 * self.rows),
            "continue": replace(align, n_rows=3 * self.rows // 2),
            DENSE: task,
            PARENTS: replace(task, n_children=6),
            "text": Sizes(half, text + plan.text_tokens, plan.target_tokens, 0, chunk, memory),
        }


class _Batches(IterableDataset[Batch]):
    def __init__(
        self,
        repositories: Sequence[Repository],
        tokenizer: HfTokenizer,
        fim: FimTemplate | None,
        plan: LoadPlan,
        stage: Any,  # Any: a shared integer of multiprocessing
    ) -> None:
        self._parts = repositories, tokenizer, fim
        self._plan, self._stage = plan, stage

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        torch.set_num_threads(1)
        source = random.Random()
        maker = ExampleMaker(*self._parts, self._plan.plan, source)
        sizes = self._plan.sizes()
        # The loader takes turns among its workers, so that batches come in the order of their numbers.
        for number in count(self._plan.first + (info.id if info else 0), info.num_workers if info else 1):
            source.seed(f"{self._plan.seed} {number}")
            mixture = self._plan.mixture(self._stage_of(number))
            kind = source.choices(list(mixture), list(mixture.values()))[0]
            make = maker.kinds[kind]
            yield make_batch(kind, [make() for _ in range(sizes[kind].n_rows)], sizes[kind])

    def _stage_of(self, number: int) -> int:
        if self._plan.align_batches is None:
            return int(self._stage.value)
        return int(number >= self._plan.align_batches)


class BatchSource:
    """An endless stream of batches; `stage` chooses the mixture of those not made yet."""

    def __init__(
        self,
        repositories: Sequence[Repository],
        tokenizer: HfTokenizer,
        fim: FimTemplate | None,
        plan: LoadPlan,
        pin: bool,
    ) -> None:
        self._stage = multiprocessing.get_context("fork").Value("i", 0)
        dataset = _Batches(repositories, tokenizer, fim, plan, self._stage)
        self._loader = DataLoader(
            dataset,
            batch_size=None,
            num_workers=plan.workers,
            prefetch_factor=4 if plan.workers else None,
            multiprocessing_context="fork" if plan.workers else None,
            pin_memory=False,
        )
        self._pin = pin

    def set_stage(self, stage: int) -> None:
        cast(Any, self._stage).value = stage

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._loader)

"""Learns what to make of pairs, so that a generator that stays as it is says the code to come.

Owns the maps as they are learnt, a factor and a change of few ranks for each key head, the objective and the
steps. Examples are made by `hef_lsp.training.slot_examples`, of training repositories, never a benchmark's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from model.slots.frozen_reading import FrozenReader
from model.slots.layout import SlotLayout
from model.slots.maps import SlotMaps
from model.slots.pairs import Pairs

FACTOR_RATE, CHANGE_RATE = 0.02, 1e-3
EXAMPLES_A_STEP = 8
WARM_UP_STEPS = 5
LAST_RATE = 0.05
CLIP = 1.0


@dataclass(frozen=True)
class SlotExample:
    """`ids` are read behind `pairs`; the last of them count, each by its number in `weights`."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    pairs: Pairs


class LearntMaps(nn.Module):
    """Starts as `start`, or as no change at all; what is learnt comes after it."""

    start: Tensor

    def __init__(self, layout: SlotLayout, rank: int, seed: int, start: SlotMaps | None = None) -> None:
        """Raises ValueError where `start` is of another generator."""
        super().__init__()
        shape, size = (layout.n_layers, layout.n_kv_heads, 2), layout.head_size
        first = torch.randn((*shape, size, rank), generator=torch.Generator().manual_seed(seed))
        self.factors = nn.Parameter(torch.zeros(*shape, 1, 1))
        self.down = nn.Parameter(first / math.sqrt(size))
        self.up = nn.Parameter(torch.zeros(*shape, rank, size))
        before = torch.zeros(layout.n_heads, 2, size, size)
        if start is not None:
            start.check(layout)
            before = start.weights
        self.register_buffer("start", before.view(*shape, size, size))

    def change(self, layer: int, pairs: Tensor) -> Tensor:
        """``[G, 2, P, S]`` to the same."""
        started = pairs + pairs @ self.start[layer]
        changed: Tensor = (started + started @ self.down[layer] @ self.up[layer]) * self.factors[layer].exp()
        return changed

    @torch.no_grad()
    def merged(self) -> SlotMaps:
        """Each head's change as one matrix."""
        same = torch.eye(self.down.shape[-2])
        whole = (same + self.start) @ (same + self.down @ self.up) * self.factors.exp() - same
        return SlotMaps(whole.flatten(0, 1))


class MapsFit:
    """Invariant: `maps` were learnt from `n_seen` examples; the rates are planned for `n_examples`."""

    def __init__(
        self,
        reader: FrozenReader,
        n_examples: int,
        rank: int = 8,
        seed: int = 0,
        start: SlotMaps | None = None,
    ) -> None:
        """Raises ValueError where `start` is of another generator."""
        self.maps, self.n_seen = LearntMaps(reader.layout, rank, seed, start), 0
        self._reader, self._n_examples = reader, n_examples
        groups: list[dict[str, Any]] = [
            {"params": [self.maps.factors], "peak": FACTOR_RATE},
            {"params": [self.maps.down, self.maps.up], "peak": CHANGE_RATE},
        ]
        self._optimizer = torch.optim.Adam(groups, betas=(0.9, 0.98))

    def learn(self, example: SlotExample) -> float:
        """Takes one example in; every eighth makes a step. Gives its nats a token before that."""
        loss = self._loss(example, learnt=True)
        (loss / EXAMPLES_A_STEP).backward()  # type: ignore[no-untyped-call]
        self.n_seen += 1
        if self.n_seen % EXAMPLES_A_STEP == 0:
            self._step()
        return float(loss.detach())

    @torch.no_grad()
    def judged(self, examples: Sequence[SlotExample], learnt: bool = True) -> float:
        """Nats a token, in the mean over `examples`, with or without what was learnt."""
        return sum(float(self._loss(example, learnt)) for example in examples) / len(examples)

    def _loss(self, example: SlotExample, learnt: bool) -> Tensor:
        n_told = len(example.weights)
        first = len(example.ids) - 1 - n_told
        change = self.maps.change if learnt else None
        logits = self._reader.logits(example.ids[:-1], first, example.pairs, change)
        losses = cross_entropy(logits, torch.tensor(example.ids[-n_told:]), reduction="none")
        weights = torch.tensor(example.weights)
        return (losses * weights).sum() / weights.sum()

    def _step(self) -> None:
        done = self.n_seen // EXAMPLES_A_STEP
        share = min(1.0, done / WARM_UP_STEPS) * max(LAST_RATE, 1 - self.n_seen / self._n_examples)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * share
        nn.utils.clip_grad_norm_(self.maps.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

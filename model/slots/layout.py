"""A slot: what one pseudo-token holds at every layer, and the row of numbers that it is stored as.

Owns the order of a row's numbers. Keys are stored without a position, so that a slot can stand anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model.multiples import filled_up
from model.protocols import VECTOR_BLOCK
from model.runtime.plan import Plan


@dataclass(frozen=True)
class SlotLayout:
    """Keys and values of each layer's heads, then how much each pair was looked at, then zeros.

    Letters: P slots, L layers, G key heads of a layer, S size of a head.
    """

    n_layers: int
    n_kv_heads: int
    head_size: int

    @staticmethod
    def of(plan: Plan) -> SlotLayout:
        return SlotLayout(len(plan.layers), plan.n_kv_heads, plan.head_size)

    @property
    def n_pairs(self) -> int:
        """Keys, with their values, in a slot: L * G."""
        return self.n_layers * self.n_kv_heads

    @property
    def read_width(self) -> int:
        """Numbers that the generator reads of a slot."""
        return 2 * self.n_pairs * self.head_size

    @property
    def stored_width(self) -> int:
        """Numbers that are stored of it: whole blocks, so that they take eight bits each."""
        return filled_up(self.read_width + self.n_pairs, VECTOR_BLOCK)

    def packed(self, keys_values: Tensor, scores: Tensor) -> Tensor:
        """``[L, 2 G, P, S]``, keys first, and scores ``[L, G, P]`` to rows ``[P, stored_width]``."""
        numbers = torch.cat([self.read_rows(keys_values), scores.permute(2, 0, 1).flatten(1)], dim=1)
        return functional.pad(numbers, (0, self.stored_width - numbers.shape[1]))

    def read_rows(self, keys_values: Tensor) -> Tensor:
        """``[L, 2 G, P, S]`` to ``[P, read_width]``, as a generator takes slots."""
        return keys_values.permute(2, 0, 1, 3).flatten(1)

    def keys_values(self, rows: Tensor) -> Tensor:
        """``[L, 2 G, P, S]`` of rows ``[P, at least read_width]``."""
        read = rows[:, : self.read_width]
        return read.view(len(rows), self.n_layers, 2 * self.n_kv_heads, self.head_size).permute(1, 2, 0, 3)

    def scores(self, rows: Tensor) -> Tensor:
        """``[L, G, P]``: -1 for slots that are absent, which are rows of zeros."""
        looked = rows[:, self.read_width : self.read_width + self.n_pairs]
        present = rows[:, : self.read_width].any(dim=1)
        looked = looked.where(present[:, None], -1.0)
        return looked.view(len(rows), self.n_layers, self.n_kv_heads).permute(1, 2, 0)


def most_looked_at(keys_values: Tensor, scores: Tensor, n_kept: int) -> tuple[Tensor, Tensor]:
    """The `n_kept` best scored of each head, in their old order, absent ones last; each head has its own.

    ``[L, 2 G, P, S]`` and ``[L, G, P]`` to ``[L, 2 G, n_kept, S]`` and ``[L, G, n_kept]``.
    """
    best = scores.topk(n_kept, dim=-1).indices.sort(dim=-1).values
    late = (scores.gather(-1, best) < 0).to(best.dtype)
    best = best.gather(-1, (best + late * scores.shape[-1]).argsort(dim=-1))
    both = best.repeat(1, 2, 1)
    chosen = keys_values.gather(2, both[..., None].expand(-1, -1, -1, keys_values.shape[-1]))
    return chosen, scores.gather(-1, best)


def turned_keys(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Keys ``[L, G, n, S]`` turned to positions, by the cache's angles ``[n, 1, S]`` of these."""
    rolled = keys.roll(keys.shape[-1] // 2, -1)
    return keys * cos[:, 0].to(keys.dtype) + rolled * sin[:, 0].to(keys.dtype)

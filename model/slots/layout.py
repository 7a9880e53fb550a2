"""A slot: what a pseudo-token holds for the heads of every layer, and the row of numbers that says it.

Owns the order of a row's numbers. Keys are told without a position, so that a slot can stand anywhere. A
slot holds a pair of key and value for some heads only; the others do not see it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.runtime.plan import Plan


@dataclass(frozen=True)
class SlotLayout:
    """Keys and values of each layer's key heads, then 1 for each head that has a pair there, else 0.

    Letters: P slots, L layers, G key heads of a layer, S size of a head.
    """

    n_layers: int
    n_kv_heads: int
    head_size: int

    @staticmethod
    def of(plan: Plan) -> SlotLayout:
        return SlotLayout(len(plan.layers), plan.n_kv_heads, plan.head_size)

    @property
    def n_heads(self) -> int:
        """Key heads of all layers, L * G: so many pairs fill a slot."""
        return self.n_layers * self.n_kv_heads

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return self.n_heads * (2 * self.head_size + 1)

    def rows(self, keys_values: Tensor, present: Tensor) -> Tensor:
        """``[L, 2 G, P, S]``, keys first, and ``[L, G, P]`` to rows ``[P, width]``."""
        flags = present.permute(2, 0, 1).flatten(1).to(keys_values.dtype)
        return torch.cat([keys_values.permute(2, 0, 1, 3).flatten(1), flags], dim=1)

    def keys_values(self, rows: Tensor) -> Tensor:
        """``[L, 2 G, P, S]`` of rows."""
        numbers = rows[:, : 2 * self.n_heads * self.head_size]
        return numbers.view(len(rows), self.n_layers, 2 * self.n_kv_heads, self.head_size).permute(1, 2, 0, 3)

    def absent(self, rows: Tensor) -> Tensor:
        """``[L, G, P]``, true where a head has no pair."""
        flags = rows[:, 2 * self.n_heads * self.head_size :]
        return flags.view(len(rows), self.n_layers, self.n_kv_heads).permute(1, 2, 0) == 0


def turned_keys(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Keys ``[L, G, n, S]`` turned to positions, by the cache's angles ``[n, 1, S]`` of these."""
    rolled = keys.roll(keys.shape[-1] // 2, -1)
    return keys * cos[:, 0].to(keys.dtype) + rolled * sin[:, 0].to(keys.dtype)

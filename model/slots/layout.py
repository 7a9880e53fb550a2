"""Whose the pairs are that a generator keeps of a text, and where they stand once they are taken over.

A slot is a pseudo-token at every layer, filled for some heads only; the others do not see it. Keys are told
without a position, so that a slot can stand anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.runtime.plan import Plan
from model.slot_pairs import SlotPairs


@dataclass(frozen=True)
class SlotLayout:
    """Heads are counted through the layers; L layers, G key heads of a layer, S size of a head."""

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

    def check(self, pairs: SlotPairs) -> None:
        """Raises ValueError unless `pairs` are of such heads."""
        heads, numbers = pairs.heads, pairs.numbers
        wanted = len(heads), 2 * self.head_size
        if numbers.shape != wanted or not 0 <= int(heads.min()) <= int(heads.max()) < self.n_heads:
            raise ValueError(
                f"pairs of heads up to {int(heads.max())} with numbers {numbers.shape}, expected heads below "
                f"{self.n_heads} and {wanted}: they are another generator's"
            )


def places_among_equals(numbers: Tensor) -> Tensor:
    """How often each of `numbers` ``[T]`` stands before it."""
    order = numbers.argsort(stable=True)
    ordered = numbers[order]
    counts = torch.bincount(numbers)
    begins = counts.cumsum(0) - counts
    places = torch.empty_like(numbers)
    places[order] = torch.arange(len(numbers), device=numbers.device) - begins[ordered]
    return places


def standing_at_end(heads: Tensor, n_slots: int) -> Tensor:
    """The slot of each pair, ``[T]``: those of a head in their order, the last of each in the last slot."""
    return n_slots - torch.bincount(heads)[heads] + places_among_equals(heads)


def turned_keys(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Keys ``[..., S]`` turned to positions, by the cache's angles of these, which may lack dimensions."""
    rolled = keys.roll(keys.shape[-1] // 2, -1)
    return keys * cos.to(keys.dtype) + rolled * sin.to(keys.dtype)

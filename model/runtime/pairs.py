"""Pairs of key and value of tokens in a row, keys first and without position, as they are kept.

Owns the packing: eight bits a number, and a scale for each key and each value.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MOST = 127
LEAST = 1e-30
"""What the largest of a pair's numbers is taken for where all are nothing."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """`numbers` ``[L, 2 G, n, S]``; with `scales` ``[L, 2 G, n, 1]`` they are whole multiples of these."""

    numbers: Tensor
    scales: Tensor | None = None

    def __len__(self) -> int:
        """Tokens."""
        return self.numbers.shape[2]

    def between(self, begin: int, end: int) -> Pairs:
        """Those of the tokens ``[begin, end)``; a view."""
        scales = None if self.scales is None else self.scales[:, :, begin:end]
        return Pairs(self.numbers[:, :, begin:end], scales)

    def whole(self) -> Tensor:
        """As float32."""
        numbers = self.numbers.float()
        return numbers if self.scales is None else numbers.mul_(self.scales)


def packed(numbers: Tensor) -> Pairs:
    """`numbers` as in `Pairs`, in a quarter of float32's bytes."""
    scales = numbers.abs().amax(dim=-1, keepdim=True).clamp_min_(LEAST) / MOST
    return Pairs((numbers / scales).round_().to(torch.int8), scales)

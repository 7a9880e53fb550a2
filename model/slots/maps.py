"""What was learnt to make of pairs before a prompt takes them over: the slots' own projector.

Owns a linear map for the keys and one for the values of each key head. They cost some milliseconds a prompt;
`model.slots.maps_fitting` learns them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.slots.layout import SlotLayout
from model.slots.learnt_file import PACKAGE, Learnt


@dataclass(frozen=True, eq=False)
class SlotMaps(Learnt):
    """`weights` ``[heads, 2, S, S]``: the product with it is added to a head's keys, and to its values.

    A generator without maps takes pairs as they are.
    """

    version, n_dimensions, folder = 1, 4, PACKAGE / "slot_maps"

    def applied(self, heads: Tensor, numbers: Tensor) -> Tensor:
        """Numbers ``[T, 2 S]`` of pairs, changed; `heads` ``[T]`` go up."""
        if not len(heads):
            return numbers
        size = self.weights.shape[-1]
        whole = numbers.view(-1, 2, size).transpose(0, 1)
        parts = torch.split(whole, torch.bincount(heads).tolist(), dim=1)
        changed = [part.baddbmm(part, self.weights[head]) for head, part in enumerate(parts)]
        return torch.cat(changed, dim=1).transpose(0, 1).reshape(numbers.shape)

    def check(self, layout: SlotLayout) -> None:
        """Raises ValueError unless they are for a generator of this shape."""
        if self.weights.shape != (layout.n_heads, 2, layout.head_size, layout.head_size):
            raise ValueError(f"maps of {tuple(self.weights.shape)} for a generator of {layout}")

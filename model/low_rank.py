"""A change of a linear map that two narrow matrices make.

Owns the type and stacking it; training and merging are `model.adapter`'s, running it beside a compact
matrix `model.runtime.int4`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LowRank:
    """The change ``up @ down``: `down` ``[rank, inputs]``, `up` ``[outputs, rank]`` with any factor in it."""

    down: torch.Tensor
    up: torch.Tensor

    def whole(self) -> torch.Tensor:
        """``[outputs, inputs]``, float32."""
        return self.up.float() @ self.down.float()


def stacked_changes(changes: Sequence[LowRank | None], n_outputs: Sequence[int]) -> LowRank | None:
    """The change of maps whose outputs stand one below the other; None where no map was changed.

    `n_outputs` are those of each map. The rank is the sum of the ranks.
    """
    found = [change for change in changes if change is not None]
    if not found:
        return None
    ups = [
        change.up if change is not None else found[0].up.new_zeros(n, 0)
        for change, n in zip(changes, n_outputs, strict=True)
    ]
    return LowRank(torch.cat([change.down for change in found]), torch.block_diag(*ups))  # type: ignore[no-untyped-call]

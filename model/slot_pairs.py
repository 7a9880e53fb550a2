"""Pseudo-tokens that are taken over and not read, as plain data; what they are made of is `model.slots`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SlotPairs:
    """What a generator keeps of texts, to be taken over and not read: pairs of key and value (`model.slots`).

    `heads` ``[T]`` say whose a pair is, counted through the layers, of `n_heads` in all; `numbers`
    ``[T, 2 S]`` are keys without position, then values. Those of a head stand one after the other, the last
    of each where the text begins. They are of `n_nodes` nodes.
    """

    heads: NDArray[np.int64]
    numbers: NDArray[np.float32]
    n_heads: int
    n_nodes: int

    @property
    def worth(self) -> int:
        """Pseudo-tokens that hold as much: each has a pair for every head."""
        return -(-len(self.heads) // self.n_heads)

    def __len__(self) -> int:
        """Positions that they take: as many as one head has pairs at most."""
        return int(np.bincount(self.heads).max()) if len(self.heads) else 0

    @cached_property
    def digest(self) -> bytes:
        """Of their content."""
        return blake2b(self.heads.tobytes() + self.numbers.tobytes(), digest_size=8).digest()

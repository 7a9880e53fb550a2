"""From pairs of retrieved nodes to the pseudo-tokens of one prompt.

Owns `SlotProjector`, a `model.protocols.Projector`: pairs are in the generator's own space already and stand
one after the other, head by head; what was learnt changes them a little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from model.layers import tensor_of
from model.protocols import FloatArray, SlotPairs
from model.slots.maps import SlotMaps
from model.slots.pairs import PairFormat, together


class SlotProjector:
    """Gives pairs that a generator on our own runtime takes over."""

    def __init__(self, pair_format: PairFormat, maps: SlotMaps | None = None) -> None:
        """`pair_format` is that of the fuser; without `maps` pairs are taken as they are.

        Raises ValueError where those are another generator's.
        """
        layout = pair_format.layout
        if maps is not None:
            maps.check(layout)
        self._format, self._maps = pair_format, maps
        learnt = "" if maps is None else f"-{maps.digest}"
        self.model_id = f"slots-{layout.n_layers}x{layout.n_kv_heads}x{layout.head_size}{learnt}"

    def project(self, vectors: FloatArray, levels: Sequence[int], budget: int) -> SlotPairs:
        """Nodes ``[K, M, D]``, best first, to pairs for at most `budget` positions, the best node's last.

        A head that has more pairs shows its best ones; most have far fewer.
        """
        if len(vectors) != len(levels):
            raise ValueError(f"{len(levels)} levels for {len(vectors)} nodes: give one level a node")
        if not len(vectors):
            numbers = np.zeros((0, 2 * self._format.layout.head_size), dtype=np.float32)
            return SlotPairs(np.zeros(0, dtype=np.int64), numbers)
        nodes = [self._format.unpacked(tensor_of(node, torch.device("cpu"))) for node in vectors[::-1]]
        shown = together(nodes).best_of_heads(budget)
        if self._maps is not None:
            shown = replace(shown, numbers=self._maps.applied(shown.heads, shown.numbers))
        return shown.to_take_over()

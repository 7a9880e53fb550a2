"""From pairs of retrieved nodes to the pseudo-tokens of one prompt.

Owns `SlotProjector`, a `model.protocols.Projector`: pairs are in the generator's own space already and stand
one after the other, head by head; what was learnt changes them a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from model.layers import tensor_of
from model.protocols import FloatArray
from model.slot_pairs import SlotPairs
from model.slots.maps import SlotMaps
from model.slots.pairs import PairFormat, Pairs, together


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

    def project(
        self, vectors: FloatArray, levels: Sequence[int], budget: int, room: int | None = None
    ) -> SlotPairs:
        """Nodes ``[K, M, D]``, best first, to their pairs, the best node's last.

        Whole nodes, as long as there are no more pairs than `budget` pseudo-tokens have; of a best one that
        has more its best pairs. Of a head at most `room`.
        """
        if len(vectors) != len(levels):
            raise ValueError(f"{len(levels)} levels for {len(vectors)} nodes: give one level a node")
        n_heads = self._format.layout.n_heads
        if not len(vectors):
            numbers = np.zeros((0, 2 * self._format.layout.head_size), dtype=np.float32)
            return SlotPairs(np.zeros(0, dtype=np.int64), numbers, n_heads, 0)
        nodes = (self._format.unpacked(tensor_of(node, torch.device("cpu"))) for node in vectors)
        fitting = _fitting(nodes, max(0, budget) * n_heads)
        shown = together(fitting[::-1])
        if room is not None:
            shown = shown.best_of_heads(room)
        if self._maps is not None:
            shown = replace(shown, numbers=self._maps.applied(shown.heads, shown.numbers))
        return shown.to_take_over(n_heads, len(fitting) if len(shown) else 0)


def _fitting(nodes: Iterable[Pairs], n_pairs: int) -> list[Pairs]:
    """The first ones that have at most `n_pairs` together; at least the best pairs of the very first.

    Fewer pairs of more nodes say less: what all would lose are pairs that copy (docs/log.md, 2026-12-01).
    """
    fitting: list[Pairs] = []
    for node in nodes:
        if fitting and len(node) > n_pairs:
            break
        fitting.append(node.best(n_pairs))
        n_pairs -= len(fitting[-1])
    return fitting

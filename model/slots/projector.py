"""From slots of retrieved nodes to the pseudo-tokens of one prompt: which, how many of each, in which order.

Owns `SlotProjector`, a `model.protocols.Projector` with nothing to learn: slots are in the generator's own
space. Each head keeps its best, as where they were made (`model.slots.fuser`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.layers import tensor_of
from model.protocols import FloatArray
from model.slots.layout import SlotLayout, most_looked_at

FEWEST = 8
"""Slots of a node below which another node is left out instead."""


class SlotProjector:
    """Gives rows ``[P, read_width]``, which a generator on our own runtime takes for keys and values."""

    def __init__(self, layout: SlotLayout) -> None:
        self._layout = layout
        self.model_id = f"slots-{layout.n_layers}x{layout.n_kv_heads}x{layout.head_size}"

    def project(self, vectors: FloatArray, levels: Sequence[int], budget: int) -> FloatArray:
        """Nodes ``[K, M, D]``, best first, to at most `budget` rows, the best node's last.

        All nodes get the same share, but none fewer than `FEWEST`: rather fewer nodes are read.
        """
        if len(vectors) != len(levels):
            raise ValueError(f"{len(levels)} levels for {len(vectors)} nodes: give one level a node")
        width = self._layout.read_width
        n_nodes = min(len(vectors), max(1, budget // FEWEST)) if budget > 0 else 0
        if n_nodes == 0:
            return np.zeros((0, width), dtype=np.float32)
        share = min(vectors.shape[1], budget // n_nodes)
        parts = [self._best(node, share) for node in vectors[:n_nodes]]
        return np.concatenate(parts[::-1])

    def _best(self, node: FloatArray, share: int) -> FloatArray:
        layout = self._layout
        rows = tensor_of(node, torch.device("cpu"))
        keys_values, scores = layout.keys_values(rows), layout.scores(rows)
        n_kept = min(share, int((scores[0, 0] >= 0).sum()))
        chosen, _ = most_looked_at(keys_values, scores, n_kept)
        result: FloatArray = layout.read_rows(chosen).numpy()
        return result

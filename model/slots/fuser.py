"""The training-free fuser: a chunk's most needed keys and values; a parent's, of its children's.

Owns `SlotFuser`, a `model.protocols.Fuser` whose vectors are slots (`model.slots.layout`): M of them a
node, whatever its length. A parent is told nothing new: each head keeps what was needed most of what its
children kept. Decision record: 0014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.layers import tensor_of
from model.protocols import BoolArray, FloatArray
from model.slots.layout import most_looked_at
from model.slots.reader import SlotReader

VERSION = 1
"""Of what is done to a text; another number and every memory is made anew."""
N_SLOTS = 32
MAX_CHILDREN = 16
MAX_TOKENS = 160
EncodeBatch = Callable[[Sequence[str]], list[list[int]]]


class SlotFuser:
    """Called in the inference lane; a chunk costs about as much as reading its text twice."""

    def __init__(
        self, reader: SlotReader, encode_batch: EncodeBatch, generator_id: str, n_slots: int = N_SLOTS
    ) -> None:
        self._reader, self._encode_batch = reader, encode_batch
        self.n_vectors = n_slots
        self.model_id = f"slots-{VERSION}-{n_slots}-{generator_id}"

    @property
    def dimension(self) -> int:
        return self._reader.layout.stored_width

    @property
    def max_children(self) -> int:
        return MAX_CHILDREN

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Texts to ``[N, M, D]``; a text is cut after `MAX_TOKENS`, one shorter than M leaves zeros."""
        result = np.zeros((len(texts), self.n_vectors, self.dimension), dtype=np.float32)
        rows = self._encode_batch([text.rstrip("\n") + "\n" for text in texts])
        for place, ids in enumerate(rows):
            if ids and texts[place].strip():
                result[place] = self._kept(*self._reader.read(ids[:MAX_TOKENS])).cpu().numpy()
        return result

    def fuse(self, children: FloatArray, mask: BoolArray) -> FloatArray:
        """Children ``[B, C, M, D]`` with ``mask [B, C]`` (True = present) to ``[B, M, D]``."""
        result = np.zeros((len(children), self.n_vectors, self.dimension), dtype=np.float32)
        layout = self._reader.layout
        for place, (family, present) in enumerate(zip(children, np.asarray(mask, dtype=bool), strict=True)):
            if int(present.sum()) > MAX_CHILDREN:
                raise ValueError(f"{int(present.sum())} children in one parent, at most {MAX_CHILDREN}")
            rows = tensor_of(family[present].reshape(-1, self.dimension), torch.device("cpu"))
            if len(rows):
                result[place] = self._kept(layout.keys_values(rows), layout.scores(rows)).numpy()
        return result

    def _kept(self, keys_values: Tensor, scores: Tensor) -> Tensor:
        """Rows ``[M, D]`` of the M most needed of each head, zeros where there are fewer."""
        n_kept = min(self.n_vectors, scores.shape[-1])
        chosen, looked = most_looked_at(keys_values, scores, n_kept)
        rows = self._reader.layout.packed(chosen, looked.clamp(min=0))
        return functional.pad(rows, (0, 0, 0, self.n_vectors - n_kept))

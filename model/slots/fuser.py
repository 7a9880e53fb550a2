"""The training-free fuser: a chunk's most needed pairs of key and value; a parent's, of its children's.

Owns `SlotFuser`, a `model.protocols.Fuser` whose vectors are pairs (`model.slots.pairs`): as many for each
node, whatever its length and whosever heads they are. A parent is told nothing new: it keeps what was needed
most of what its children kept. Decision record: 0014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from model.layers import tensor_of
from model.protocols import NEVER, BoolArray, CancelSignal, FloatArray
from model.runtime.plan import Plan
from model.slots.pairs import PairFormat, Pairs, pairs_of, together
from model.slots.reader import SlotReader

VERSION = 3
"""Of what is done to a text; another number and every memory is made anew."""
FILLED_SLOTS = 8
"""A node's pairs would fill so many slots at least: with SmolLM2-135M 720 pairs, 98 KB in eight bits."""
PAIRS_A_HEAD = 8 / 3
"""Of a node, for each head that looks: where more of them share a key head, more of its pairs are needed."""
MAX_CHILDREN = 16
MAX_TOKENS = 160
CPU = torch.device("cpu")
EncodeBatch = Callable[[Sequence[str]], list[list[int]]]


def filled_slots_of(plan: Plan) -> int:
    """How many slots a node's pairs are to fill; it was measured with two generators (docs/log.md)."""
    return max(FILLED_SLOTS, round(PAIRS_A_HEAD * plan.n_heads / plan.n_kv_heads))


class SlotFuser:
    """Called in the inference lane; a chunk costs as much as reading its text, once or twice."""

    def __init__(
        self,
        reader: SlotReader,
        encode_batch: EncodeBatch,
        generator_id: str,
        filled_slots: int,
    ) -> None:
        self.reader, self._encode_batch = reader, encode_batch
        self.format = PairFormat(reader.layout, filled_slots * reader.layout.n_heads)
        chosen_by = "reading" if reader.needs is None else reader.needs.digest
        self.model_id = f"slots-{VERSION}-{filled_slots}-{chosen_by}-{generator_id}"

    @property
    def n_vectors(self) -> int:
        return self.format.n_vectors

    @property
    def dimension(self) -> int:
        return self.format.dimension

    @property
    def max_children(self) -> int:
        return MAX_CHILDREN

    def encode(self, texts: Sequence[str], cancel: CancelSignal = NEVER) -> FloatArray:
        """Texts to ``[N, M, D]``; a text is cut after `MAX_TOKENS`, a short one leaves zeros.

        Raises `Interrupted` within a layer's time once `cancel` is set.
        """
        result = np.zeros((len(texts), self.n_vectors, self.dimension), dtype=np.float32)
        for place, ids in enumerate(self.token_ids(texts)):
            if ids:
                result[place] = self.format.packed(self.pairs_of(ids, cancel))
        return result

    def pairs_of(self, token_ids: Sequence[int], cancel: CancelSignal = NEVER) -> Pairs:
        """The pairs to keep of a text. Raises `Interrupted` within a layer's time once `cancel` is set."""
        whole = pairs_of(*(part.cpu() for part in self.reader.read(token_ids, cancel)))
        return whole.best(self.format.n_pairs)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """What is read of each text; nothing of blank ones."""
        rows = self._encode_batch([text.rstrip("\n") + "\n" for text in texts])
        return [ids[:MAX_TOKENS] if text.strip() else [] for text, ids in zip(texts, rows, strict=True)]

    def fuse(self, children: FloatArray, mask: BoolArray) -> FloatArray:
        """Children ``[B, C, M, D]`` with ``mask [B, C]`` (True = present) to ``[B, M, D]``."""
        result = np.zeros((len(children), self.n_vectors, self.dimension), dtype=np.float32)
        for place, (family, present) in enumerate(zip(children, np.asarray(mask, dtype=bool), strict=True)):
            if int(present.sum()) > MAX_CHILDREN:
                raise ValueError(f"{int(present.sum())} children in one parent, at most {MAX_CHILDREN}")
            parts = [self.format.unpacked(tensor_of(child, CPU)) for child in family[present]]
            if parts:
                result[place] = self.format.packed(together(parts).best(self.format.n_pairs))
        return result

"""What the generator keeps of a text: its keys and values, and how much each is needed to say it again.

Owns the passes over a chunk. The text is read behind a fixed introduction. What a second reading behind
"again" looks at in the first is what matters, whoever asks later (KVzip, arXiv 2505.23416, scores the entries
of a cache so); where that was learnt (`model.slots.needs`), the first reading tells it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.prompt import SNIPPETS_INTRODUCTION
from model.protocols import NEVER, CancelSignal
from model.runtime.attention import Attention, grouped, mask_of, ungrouped
from model.runtime.beside import Beside, stop_if
from model.runtime.layers import Stack, add_gated, heads_of, queries_of, unit_rows
from model.runtime.moving import lifted
from model.runtime.static_cache import Slots
from model.slots.layout import SlotLayout
from model.slots.needs import Needs
from model.tokenization import HfTokenizer

INTRODUCTION = f"# {SNIPPETS_INTRODUCTION}\n"
"""Stands before every chunk that is read and before slots in a prompt: the first positions of a text
draw attention whatever they hold, and those of a chunk must not."""
AGAIN = "# The code above, again:\n"
FIRST_CAPACITY = 512


def introduction_of(tokenizer: HfTokenizer) -> tuple[int, ...]:
    """Ids that stand before a chunk that is read and before its slots, the family's own first."""
    return (*tokenizer.prefix_ids, *tokenizer.encode(INTRODUCTION))


@dataclass(frozen=True)
class Watched:
    """A text read twice: the first time's unit `rows` ``[L, n, H]``, the second's `scores` ``[L, G, n]``."""

    rows: Tensor
    scores: Tensor


class SlotReader:
    """Reads texts, one after the other, in a cache of its own; for the inference lane's thread only."""

    def __init__(
        self, stack: Stack, introduction: Sequence[int], again: Sequence[int], needs: Needs | None = None
    ) -> None:
        """Token ids; `introduction` is `introduction_of` the generator's tokenizer. Without `needs` texts are
        read twice. Raises ValueError where those are another generator's."""
        self.layout = SlotLayout.of(stack.plan)
        self.plan, self._stack = stack.plan, stack
        self._again = list(again)
        shape = self.layout.n_layers, self.layout.n_kv_heads, stack.plan.embedding.shape[1]
        if needs is not None and not needs.fits(*shape):
            raise ValueError(f"needs of {tuple(needs.weights.shape)} for a generator of {shape}")
        self.needs = needs
        self._beside = Beside(stack, introduction, FIRST_CAPACITY)

    def read(self, token_ids: Sequence[int], cancel: CancelSignal = NEVER) -> tuple[Tensor, Tensor]:
        """Keys without position and values ``[L, 2 G, n, S]``, and their scores ``[L, G, n]``, float32.

        Raises `Interrupted` between two layers once `cancel` is set.
        """
        with torch.inference_mode():
            begin, needs = self._beside.begin(), self.needs
            end, told = begin + len(token_ids), list[Tensor]()

            def before(layer: int, rows: Tensor) -> None:
                stop_if(cancel)
                if needs is not None:
                    told.append(needs.scores(layer, unit_rows(rows[: len(token_ids)], self._stack.plan)))

            self._beside.read(token_ids, begin, before)
            scores = torch.stack(told) if told else self._watched(token_ids, begin, end, cancel)
            return lifted(self._beside.cache, begin, end), scores

    def read_twice(self, token_ids: Sequence[int]) -> Watched:
        """What both readings show, to learn from."""
        plan, rows = self._stack.plan, list[Tensor]()
        with torch.inference_mode():
            begin = self._beside.begin()

            def before(_layer: int, seen: Tensor) -> None:
                rows.append(unit_rows(seen[: len(token_ids)], plan))

            self._beside.read(token_ids, begin, before)
            scores = self._watched(token_ids, begin, begin + len(token_ids), NEVER)
            return Watched(torch.stack(rows), scores)

    def _watched(self, text_ids: Sequence[int], begin: int, end: int, cancel: CancelSignal) -> Tensor:
        """Reads again from `end` on; the most that any head of a group looks at each position before it."""
        token_ids = [*self._again, *text_ids]
        rows, n_read = self._beside.rows(token_ids), len(token_ids)
        slots = self._beside.cache.slots(end, end + len(rows))
        mask = mask_of(Attention.MASKED, self._stack.plan, len(rows), slots.end, slots.n_seen)
        looks = []
        for number in range(len(self._stack.layers)):
            stop_if(cancel)
            looked = _watched_layer(self._stack, number, rows, slots, mask)
            looks.append(looked[:, :, :n_read, begin:end].amax(dim=(1, 2)))
        return torch.stack(looks).float()


def _watched_layer(stack: Stack, number: int, rows: Tensor, slots: Slots, mask: Tensor | None) -> Tensor:
    """A layer of `run_layers`, in place, that gives what was looked at: ``[G, group, R, end]``."""
    plan, layer = stack.plan, stack.layers[number]
    n_rows, size = len(rows), plan.head_size
    heads = heads_of(plan, layer, n_rows, rows, slots.cos, slots.sin, slots.new[number])
    queries = grouped(queries_of(plan, heads, n_rows))
    products = queries @ slots.keys[number][0].transpose(1, 2) / math.sqrt(size)
    looks = (products if mask is None else products + mask).softmax(dim=-1)
    rows.add_(layer.out(ungrouped(looks @ slots.values[number][0], n_rows)))
    add_gated(plan, layer, rows)
    return looks.view(plan.n_kv_heads, -1, n_rows, looks.shape[-1])

"""A generator that stays as it is, read behind pairs that are being learnt: gradients pass through it.

Owns the forward pass of `model.runtime.layers` once more, out of place and in the model's own numbers, and
where pairs stand in it. Training only; a test sets it against the runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import linear, silu

from model.runtime.attention import grouped, ungrouped
from model.runtime.layers import embedded
from model.runtime.plan import LayerPlan, Matrix, Plan
from model.runtime.static_cache import angles_of
from model.slots.layout import SlotLayout, standing_at_end, turned_keys
from model.slots.pairs import Pairs

Change = Callable[[int, Tensor], Tensor]
"""Of a layer's keys and values ``[G, 2, P, S]``, without position, as they will be taken over."""
LaidOut = tuple[Tensor, Tensor]
"""Of a layer: keys and values ``[G, 2, P, S]``, and where there are any ``[G, P]``."""
Before = tuple[Tensor, Tensor]
"""What a layer sees before the text: keys and values ``[2, G, P, S]``, and additions to looks ``[G, P]``."""


def laid_out(pairs: Pairs, layout: SlotLayout) -> list[LaidOut]:
    """Each layer's pairs, those of a head at the end, no layer longer than its longest head."""
    counts = torch.bincount(pairs.heads, minlength=layout.n_heads)
    n_slots = int(counts.max())
    places = standing_at_end(pairs.heads, n_slots)
    numbers = torch.zeros(layout.n_heads, n_slots, 2, layout.head_size)
    there = torch.zeros(layout.n_heads, n_slots, dtype=torch.bool)
    numbers[pairs.heads, places] = pairs.numbers.float().view(-1, 2, layout.head_size)
    there[pairs.heads, places] = True
    longest = counts.view(layout.n_layers, -1).amax(dim=1).clamp(min=1).tolist()
    of_layers = (torch.split(whole, layout.n_kv_heads) for whole in (numbers, there))
    layers = zip(*of_layers, longest, strict=True)
    return [(layer[:, -n:].transpose(1, 2), seen[:, -n:]) for layer, seen, n in layers]


class FrozenReader:
    """Reads texts behind an introduction and pairs; keeps nothing but the introduction."""

    def __init__(self, plan: Plan, introduction: Sequence[int]) -> None:
        """`introduction` is `model.slots.reader.introduction_of` the generator's tokenizer."""
        self.layout, self._plan, self._n_introduced = SlotLayout.of(plan), plan, len(introduction)
        nothing_hidden = torch.zeros(plan.n_kv_heads, len(introduction))
        with torch.no_grad():
            _, own = self._read(introduction, 0, [[] for _ in plan.layers])
        self._introduced: list[Before] = [(pairs, nothing_hidden) for pairs in own]

    def logits(
        self, token_ids: Sequence[int], first: int, pairs: Pairs | None, change: Change | None
    ) -> Tensor:
        """Logits ``[R, V]`` of the text's positions from `first` on."""
        before, begin = [[introduced] for introduced in self._introduced], self._n_introduced
        if pairs is not None and len(pairs):
            slots = laid_out(pairs, self.layout)
            begin += max(there.shape[1] for _, there in slots)
            cos, sin = self._angles(begin)
            for number, (numbers, there) in enumerate(slots):
                changed = numbers if change is None else change(number, numbers)
                hidden = torch.zeros(there.shape).masked_fill(~there, -math.inf)
                before[number].append((_placed(changed, cos, sin), hidden))
        rows, _ = self._read(token_ids, begin, before)
        plan = self._plan
        return _product(_normed(rows[first:], plan.gain_out, plan), plan.head)

    def _read(
        self, token_ids: Sequence[int], begin: int, before: Sequence[Sequence[Before]]
    ) -> tuple[Tensor, list[Tensor]]:
        """The last residual rows ``[R, H]``, and the keys and values ``[2, G, R, S]`` of each layer."""
        plan, n_rows, kept = self._plan, len(token_ids), list[Tensor]()
        cos, sin = (angles[begin:, None] for angles in self._angles(begin + n_rows))
        rows = embedded(plan, token_ids)
        later = torch.full((n_rows, n_rows), -math.inf).triu(1).expand(plan.n_kv_heads, -1, -1)
        for layer, seen in zip(plan.layers, before, strict=True):
            heads = _product(_normed(rows, layer.gain_in, plan), layer.qkv).view(n_rows, -1, plan.head_size)
            n_turned = plan.n_heads + plan.n_kv_heads
            turned = turned_keys(heads[:, :n_turned], cos, sin)
            own = torch.stack([turned[:, plan.n_heads :], heads[:, n_turned:]]).transpose(1, 2)
            pairs = torch.cat([*(numbers for numbers, _ in seen), own], dim=2)
            mask = torch.cat([*(hidden[:, None].expand(-1, n_rows, -1) for _, hidden in seen), later], dim=-1)
            rows = self._layer(layer, rows, turned[:, : plan.n_heads], pairs, mask)
            kept.append(own)
        return rows, kept

    def _layer(self, layer: LayerPlan, rows: Tensor, queries: Tensor, pairs: Tensor, mask: Tensor) -> Tensor:
        plan, n_rows = self._plan, len(rows)
        keys, values = pairs.unbind()
        asked = grouped(queries.reshape(n_rows, plan.n_kv_heads, -1, plan.head_size))
        products = asked @ keys.transpose(1, 2) / math.sqrt(plan.head_size)
        looks = (products.view(plan.n_kv_heads, -1, *mask.shape[1:]) + mask[:, None]).softmax(-1)
        rows = rows + _product(ungrouped(looks.flatten(1, 2) @ values, n_rows), layer.out)
        gate, up = _product(_normed(rows, layer.gain_mid, plan), layer.gate_up).chunk(2, -1)
        return rows + _product(silu(gate) * up, layer.down)

    def _angles(self, n_positions: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines ``[T, S]``."""
        cos, sin = angles_of(self._plan, n_positions)
        return cos[:, 0].float(), sin[:, 0].float()


def _placed(pairs: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Pairs ``[G, 2, P, S]`` as ``[2, G, P, S]``, their keys turned to the last of the positions."""
    keys, values = pairs.unbind(1)
    n_slots = keys.shape[1]
    return torch.stack([turned_keys(keys, cos[-n_slots:], sin[-n_slots:]), values])


def _normed(rows: Tensor, gain: Tensor, plan: Plan) -> Tensor:
    lengths: Tensor = vector_norm(rows, dim=-1, keepdim=True)
    return rows / lengths.hypot(plan.floor) * gain


def _product(rows: Tensor, matrix: Matrix) -> Tensor:
    return linear(rows.to(matrix.weight.dtype), matrix.weight, matrix.bias).float()

"""The forward pass of Llama's layout over plain tensors.

Owns the arithmetic: root-mean-square norms, rotary positions, the gated layer; attention is
`model.runtime.attention`. The residual rows are float32, what is multiplied has the model's own type.
For one token it is some thirty calls of torch a layer; each call left out counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import torch
from torch.linalg import vector_norm
from torch.nn.functional import silu

from model.multiples import UNFILLED, Filling
from model.runtime.attention import Attention, attended, filling_of, hiding, mask_of
from model.runtime.int8 import Multiply, plain_multiply
from model.runtime.plan import Matrix, Plan
from model.runtime.static_cache import Slots

N_SHARP = 32
"""Tokens whose logits are worked out in float32."""
BeforeLayer = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True)
class Layer:
    """A layer ready to run. A gain of None is already in the matrix that follows."""

    gain_in: torch.Tensor | None
    qkv: Multiply
    out: Multiply
    gain_mid: torch.Tensor | None
    gate_up: Multiply
    down: Multiply

    @property
    def multiplies(self) -> tuple[Multiply, Multiply, Multiply, Multiply]:
        """In the order in which a pass comes to them."""
        return self.qkv, self.out, self.gate_up, self.down


@dataclass(frozen=True)
class Stack:
    """All layers, and the head that gives the logits.

    Unless its attention is masked, a row comes out the same to the last bit whatever is read beside
    it, in passes of up to `MOST_ROWS`. The compact kernels and the norms keep that; plain matrices do not.
    """

    plan: Plan
    attention: Attention
    layers: tuple[Layer, ...]
    gain_out: torch.Tensor | None
    head: Multiply
    rows: Filling = UNFILLED
    """How the rows of a pass had better be filled up, at the end, where none sees them."""

    @property
    def filling(self) -> Filling:
        """How the positions that it looks at are filled up."""
        return filling_of(self.attention, self.plan.dtype)


def plain_stack(plan: Plan) -> Stack:
    """The model in its own numbers; copies nothing."""
    return stack_of(plan, Attention.MASKED, plain_multiply)


def stack_of(plan: Plan, attention: Attention, multiply: Callable[[Matrix], Multiply]) -> Stack:
    """The model by one way to multiply, its gains apart from the matrices."""
    layers = (
        Layer(
            layer.gain_in,
            multiply(layer.qkv),
            multiply(layer.out),
            layer.gain_mid,
            multiply(layer.gate_up),
            multiply(layer.down),
        )
        for layer in plan.layers
    )
    return Stack(plan, attention, tuple(layers), plan.gain_out, multiply(plan.head))


class Place(NamedTuple):
    """Of one layer: angles, the slots of new positions, all keys and values, and the mask if there is one.

    Shapes are those of `Slots`, `mask_of` and `hiding`.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    new: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor | None


def places_of(stack: Stack, n_rows: int, slots: Slots) -> Iterator[Place]:
    """Layer by layer."""
    later = mask_of(stack.attention, stack.plan, n_rows, slots.end, slots.n_seen)
    hidden = slots.hidden or repeat(None, len(slots.new))
    for new, keys, values, unseen in zip(slots.new, slots.keys, slots.values, hidden, strict=True):
        mask = later if unseen is None else hiding(stack.attention, stack.plan, later, unseen)
        yield Place(slots.cos, slots.sin, new, keys, values, mask)


def run_layers(
    stack: Stack, rows: torch.Tensor, slots: Slots, before: BeforeLayer | None = None
) -> torch.Tensor:
    """Reads the residual rows ``[R, H]``, float32, in place; writes their keys and values to `slots`.

    `before` is called with each layer's number and rows, and may raise to leave off.
    """
    n_rows = rows.shape[0]
    for number, (layer, place) in enumerate(zip(stack.layers, places_of(stack, n_rows, slots), strict=True)):
        if before is not None:
            before(number, rows)
        run_layer(stack, layer, n_rows, rows, place)
    return rows


def run_layer(stack: Stack, layer: Layer, n_rows: int, rows: torch.Tensor, place: Place) -> torch.Tensor:
    """One layer of `run_layers`, in place; `n_rows` is R, which must be a number where this is recorded."""
    plan = stack.plan
    heads = heads_of(plan, layer, n_rows, rows, place.cos, place.sin, place.new)
    queries = queries_of(plan, heads, n_rows)
    seen = attended(stack.attention, queries, n_rows, place.keys, place.values, place.mask)
    rows.add_(layer.out(seen))
    return add_gated(plan, layer, rows)


def heads_of(
    plan: Plan,
    layer: Layer,
    n_rows: int,
    rows: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    new: torch.Tensor,
) -> torch.Tensor:
    """Queries, keys and values ``[R, heads, D]`` of a layer's rows; keys and values go to the cache, too."""
    heads = layer.qkv(normed(rows, layer.gain_in, plan)).view(n_rows, -1, plan.head_size)
    _turn(plan, heads, cos, sin)
    new.copy_(heads[:, plan.n_heads :].transpose(0, 1))
    return heads


def queries_of(plan: Plan, heads: torch.Tensor, n_rows: int) -> torch.Tensor:
    """The queries ``[R, KV, group, D]`` among `heads` ``[R, heads, D]``, by the key head that they share."""
    return heads[:, : plan.n_heads].view(n_rows, plan.n_kv_heads, -1, plan.head_size)


def add_gated(plan: Plan, layer: Layer, rows: torch.Tensor) -> torch.Tensor:
    """The second half of a layer, in place."""
    gate, up = layer.gate_up(normed(rows, layer.gain_mid, plan)).chunk(2, -1)
    return rows.add_(layer.down(silu(gate) * up))


def embedded(plan: Plan, token_ids: Sequence[int]) -> torch.Tensor:
    """Tokens as residual rows ``[R, H]``, a fresh float32 tensor."""
    places = torch.tensor(list(token_ids), dtype=torch.long, device=plan.embedding.device)
    return plan.embedding[places].float()


def logits_of(stack: Stack, rows: torch.Tensor) -> torch.Tensor:
    """Residual rows ``[R, H]`` to logits ``[R, V]``, float32.

    Those of the likeliest tokens are worked out again by the model's own numbers: bfloat16 tells logits of
    16 to 32 apart by 0.125 only, and the choice is among these.
    """
    logits = stack.head(normed(rows, stack.gain_out, stack.plan)).float()
    likeliest = logits.topk(min(N_SHARP, logits.shape[-1]), sorted=False).indices
    return logits.scatter_(-1, likeliest, _sharp_logits(stack.plan, rows, likeliest))


def _sharp_logits(plan: Plan, rows: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
    """Logits ``[R, n]`` of the tokens ``[R, n]``, multiplied in float32, each row by itself."""
    whole = unit_rows(rows, plan) * plan.gain_out
    sharp = (plan.head.weight[token_ids].float() * whole.unsqueeze(1)).sum(-1)
    return sharp if plan.head.bias is None else sharp + plan.head.bias[token_ids]


def unit_rows(rows: torch.Tensor, plan: Plan) -> torch.Tensor:
    """Rows ``[R, H]`` over their lengths, float32: what the norms give before their gain."""
    return rows / _lengths(rows, plan)


def normed(rows: torch.Tensor, gain: torch.Tensor | None, plan: Plan) -> torch.Tensor:
    """Rows over their lengths, times `gain`, in the model's type.

    A few small calls: torch's own `rms_norm` is made of more, and takes twice as long on one row.
    """
    lengths = _lengths(rows, plan)
    out = torch.empty(rows.shape, dtype=plan.dtype, device=rows.device)
    if gain is None:
        return torch.div(rows, lengths, out=out)
    return torch.mul(rows / lengths, gain, out=out)


def _lengths(rows: torch.Tensor, plan: Plan) -> torch.Tensor:
    """What `rows` ``[R, H]`` are divided by, ``[R, 1]``."""
    lengths: torch.Tensor = vector_norm(rows, dim=-1, keepdim=True)
    return lengths.hypot_(plan.floor)


def _turn(plan: Plan, heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Gives the queries and keys among `heads` ``[R, heads, D]`` their positions, in place."""
    turned = heads[:, : plan.n_heads + plan.n_kv_heads]
    rolled = turned.roll(plan.head_size // 2, -1)
    turned.mul_(cos).addcmul_(rolled, sin)

"""The forward pass of Llama's layout over plain tensors.

Owns the arithmetic: root-mean-square norms, rotary positions, grouped attention over the cache,
the gated layer. The residual rows are float32, what is multiplied has the model's own type.
For one token it is some thirty calls of torch a layer; each call left out counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.linalg import vector_norm
from torch.nn.functional import scaled_dot_product_attention, silu

from model.runtime.int8 import Multiply, plain_multiply
from model.runtime.plan import Plan
from model.runtime.static_cache import Slots

N_SHARP = 32
"""Tokens whose logits are worked out in float32."""


@dataclass(frozen=True)
class Layer:
    """A layer ready to run. A gain of None is already in the matrix that follows."""

    gain_in: torch.Tensor | None
    qkv: Multiply
    out: Multiply
    gain_mid: torch.Tensor | None
    gate_up: Multiply
    down: Multiply


@dataclass(frozen=True)
class Stack:
    """All layers, and the head that gives the logits.

    With `rows_apart` each row's attention is computed on its own, so that a row comes out the same
    to the last bit whatever is read beside it. The compact kernels and the norms keep that anyway;
    plain matrices do not.
    """

    plan: Plan
    rows_apart: bool
    layers: tuple[Layer, ...]
    gain_out: torch.Tensor | None
    head: Multiply


def plain_stack(plan: Plan) -> Stack:
    """The model in its own numbers; copies nothing."""
    layers = [
        Layer(
            layer.gain_in,
            plain_multiply(layer.qkv),
            plain_multiply(layer.out),
            layer.gain_mid,
            plain_multiply(layer.gate_up),
            plain_multiply(layer.down),
        )
        for layer in plan.layers
    ]
    return Stack(plan, False, tuple(layers), plan.gain_out, plain_multiply(plan.head))


def run_layers(stack: Stack, rows: torch.Tensor, slots: Slots) -> torch.Tensor:
    """Reads the residual rows ``[R, H]``, float32, in place; writes their keys and values to `slots`."""
    plan, n_rows = stack.plan, rows.shape[0]
    mask = None if stack.rows_apart or n_rows == 1 else causal_mask(plan, n_rows, slots)
    for layer, new, keys, values in zip(stack.layers, slots.new, slots.keys, slots.values, strict=True):
        run_layer(plan, layer, n_rows, rows, slots.cos, slots.sin, new, keys, values, mask)
    return rows


def run_layer(
    plan: Plan,
    layer: Layer,
    n_rows: int,
    rows: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    new: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """One layer of `run_layers`, in place; `n_rows` is R, which must be a number where this is recorded."""
    heads = heads_of(plan, layer, n_rows, rows, cos, sin, new)
    rows.add_(layer.out(_attended(plan, heads, n_rows, keys, values, mask)))
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
    whole = rows / _lengths(rows, plan) * plan.gain_out
    sharp = (plan.head.weight[token_ids].float() * whole.unsqueeze(1)).sum(-1)
    return sharp if plan.head.bias is None else sharp + plan.head.bias[token_ids]


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


def _attended(
    plan: Plan,
    heads: torch.Tensor,
    n_rows: int,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """What the queries among `heads` ``[R, heads, D]`` see of the cache: ``[R, n_heads * D]``.

    The query heads that share a key head stand as further rows of it: each on its own, torch was seen to take
    six times as long. Without a mask row by row.
    """
    n_kv, size = plan.n_kv_heads, plan.head_size
    queries = heads[:, : plan.n_heads].view(n_rows, n_kv, -1, size)
    if mask is None:
        return _attended_apart(queries, n_rows, keys, values)
    grouped = queries.permute(1, 2, 0, 3).reshape(1, n_kv, -1, size)
    seen = scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
    return seen.view(n_kv, -1, n_rows, size).permute(2, 0, 1, 3).reshape(n_rows, -1)


def _attended_apart(
    queries: torch.Tensor, n_rows: int, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """The same of `queries` ``[R, KV, group, D]``, the last of which sees all of the cache.

    Ends count from the cache's end, so that a recorded pass holds at any length.
    """
    if n_rows == 1:
        return scaled_dot_product_attention(queries, keys, values).view(1, -1)
    seen = []
    for row in range(n_rows):
        end = row + 1 - n_rows or None
        query = queries[row : row + 1]
        seen.append(scaled_dot_product_attention(query, keys[:, :, :end], values[:, :, :end]))
    return torch.cat(seen).view(n_rows, -1)


def causal_mask(plan: Plan, n_rows: int, slots: Slots) -> torch.Tensor:
    """What is added to the scores ``[group * R, end]`` so that no row sees those after it."""
    n_positions = slots.keys[0].shape[2]
    hidden = torch.full((n_rows, n_positions), -torch.inf, dtype=plan.dtype, device=plan.embedding.device)
    return hidden.triu_(n_positions - n_rows + 1).repeat(plan.n_heads // plan.n_kv_heads, 1)

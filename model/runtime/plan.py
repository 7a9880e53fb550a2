"""What a transformers model of Llama's layout is made of, as plain tensors.

Owns the question whether a model has that layout, and `Plan`: its sizes and weights, with the
matrices that read the same input stacked into one. Multiplying is `model.runtime.layers`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol, cast

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from model.low_rank import LowRank, stacked_changes

FAMILIES = frozenset({"llama", "qwen2", "mistral"})
FIXED_ROTARIES = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotaries whose angles depend on the position alone, not on how long the text is."""
NEEDED_KERNEL = "_weight_int4pack_mm_for_cpu"
NUMBERS = {
    "cpu": (torch.float32, torch.bfloat16),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}
"""What each device may compute in."""
NARROWED_ROWS = 4096
"""Compared at once, so that no second whole matrix is made."""
Changes = Mapping[nn.Module, LowRank]
NO_CHANGES: Changes = MappingProxyType({})


class _Attention(Protocol):
    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear
    o_proj: nn.Linear


class _Mlp(Protocol):
    gate_proj: nn.Linear
    up_proj: nn.Linear
    down_proj: nn.Linear


class _Norm(Protocol):
    weight: torch.Tensor
    variance_epsilon: float


class _Block(Protocol):
    self_attn: _Attention
    mlp: _Mlp
    input_layernorm: _Norm
    post_attention_layernorm: _Norm


class Rotary(Protocol):
    """A model's own rotary embedding: cosines and sines ``[1, T, D]`` at positions ``[1, T]``."""

    def __call__(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


class _Body(Protocol):
    embed_tokens: nn.Embedding
    layers: Sequence[_Block]
    norm: _Norm
    rotary_emb: Rotary


class _Causal(Protocol):
    model: _Body
    lm_head: nn.Linear


@dataclass(frozen=True)
class Matrix:
    """A linear map: `weight` ``[outputs, inputs]``, `bias` ``[outputs]`` or None.

    `change` is a part of `weight` that was added after the file was read.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    change: LowRank | None = None


@dataclass(frozen=True)
class LayerPlan:
    """One layer: `qkv` gives the queries, keys and values in turn, `gate_up` the gate, then the rest.

    The gains ``[H]`` of the norms carry the factor sqrt(H), for a norm that divides by lengths.
    """

    gain_in: torch.Tensor
    qkv: Matrix
    out: Matrix
    gain_mid: torch.Tensor
    gate_up: Matrix
    down: Matrix

    @property
    def matrices(self) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        """In the order in which a pass comes to them."""
        return self.qkv, self.out, self.gate_up, self.down


@dataclass(frozen=True)
class Plan:
    """A model as tensors. `floor` is the length that a norm adds, at right angles, to each row's own."""

    n_heads: int
    n_kv_heads: int
    head_size: int
    hidden_size: int
    floor: torch.Tensor
    dtype: torch.dtype
    embedding: torch.Tensor
    layers: tuple[LayerPlan, ...]
    gain_out: torch.Tensor
    head: Matrix
    rotary: Rotary

    def without_changes(self) -> Plan:
        """The same plan, which no longer keeps apart what was merged in."""

        def bare(matrix: Matrix) -> Matrix:
            return replace(matrix, change=None)

        layers = tuple(
            replace(
                layer,
                qkv=bare(layer.qkv),
                out=bare(layer.out),
                gate_up=bare(layer.gate_up),
                down=bare(layer.down),
            )
            for layer in self.layers
        )
        return replace(self, layers=layers, head=bare(self.head))


def why_unsupported(model: PreTrainedModel) -> str | None:
    """None if the runtime can stand in for `model`, else the reason, as the end of a sentence."""
    config = model.config
    if model.device.type == "cpu" and not hasattr(torch.ops.aten, NEEDED_KERNEL):
        return "this torch lacks the kernels; 2.6 and later have them"
    if config.model_type not in FAMILIES:
        return f"its family is {config.model_type}, not one of {', '.join(sorted(FAMILIES))}"
    if model.device.type not in NUMBERS:
        return f"it is on {model.device.type}, not on {' or '.join(NUMBERS)}"
    if getattr(config, "hidden_act", None) != "silu":
        return f"its activation is {getattr(config, 'hidden_act', None)}, not silu"
    return _why_not_positions(config) or _why_not_weights(cast(_Causal, model))


def _why_not_positions(config: PreTrainedConfig) -> str | None:
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if kinds or (config.model_type == "mistral" and getattr(config, "sliding_window", None)):
        return "its attention looks through a sliding window"
    kind = (getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}).get(
        "rope_type", "default"
    )
    return None if kind in FIXED_ROTARIES else f"its rotary positions are {kind}"


def _why_not_weights(model: _Causal) -> str | None:
    for linear in (*itertools.chain.from_iterable(map(_linears, model.model.layers)), model.lm_head):
        if type(linear) is not nn.Linear:
            return f"a weight is a {type(linear).__name__}, not a plain matrix"
        if linear.weight.dtype not in NUMBERS[linear.weight.device.type]:
            return f"its numbers are {linear.weight.dtype}, not float32 or bfloat16"
    return None


def _linears(block: _Block) -> Iterator[nn.Linear]:
    attention, mlp = block.self_attn, block.mlp
    yield from (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    yield from (mlp.gate_proj, mlp.up_proj, mlp.down_proj)


def plan_of(model: PreTrainedModel, changes: Changes = NO_CHANGES) -> Plan:
    """Takes `model` apart; it must pass `why_unsupported`. `changes` were merged into its maps.

    Nothing is held twice: the model's own parameters become views of the stacked matrices, and
    go on working. Whoever changes them later changes both.
    """
    causal, config = cast(_Causal, model), model.config
    body = causal.model
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layers = tuple(_layer_plan(block, config.hidden_size, changes) for block in body.layers)
    return Plan(
        n_heads=config.num_attention_heads,
        n_kv_heads=config.num_key_value_heads,
        head_size=head_size,
        hidden_size=config.hidden_size,
        floor=torch.tensor(
            math.sqrt(config.hidden_size * body.norm.variance_epsilon), device=body.embed_tokens.weight.device
        ),
        dtype=causal.lm_head.weight.dtype,
        embedding=body.embed_tokens.weight.detach(),
        layers=layers,
        gain_out=_gain(body.norm, config.hidden_size),
        head=_stacked([causal.lm_head], changes),
        rotary=_exact_rotary(body.rotary_emb, config),
    )


def emptied(model: PreTrainedModel, plan: Plan) -> Plan:
    """`plan`, which `plan_of` made of `model`, without its layers' matrices: their memory is free.

    Neither can be computed with from then on; embedding, head and norms stay, the first two `narrowed`.
    """
    causal = cast(_Causal, model)
    for linear in itertools.chain.from_iterable(map(_linears, causal.model.layers)):
        linear.weight.data = linear.weight.new_empty(0)
    nothing = Matrix(plan.embedding.new_empty(0))
    layers = (
        replace(layer, qkv=nothing, out=nothing, gate_up=nothing, down=nothing) for layer in plan.layers
    )
    is_tied = plan.head.weight.data_ptr() == plan.embedding.data_ptr()
    embedding = narrowed(plan.embedding)
    head = embedding if is_tied else narrowed(plan.head.weight)
    causal.model.embed_tokens.weight.data, causal.lm_head.weight.data = embedding, head
    return replace(plan, layers=tuple(layers), embedding=embedding, head=replace(plan.head, weight=head))


def narrowed(weight: torch.Tensor) -> torch.Tensor:
    """In sixteen bits a number where they hold each exactly, as what was read from a file mostly is; else
    `weight` itself."""
    if weight.dtype != torch.float32:
        return weight
    for dtype in (torch.float16, torch.bfloat16):
        narrow = weight.to(dtype)
        blocks = zip(*(torch.split(rows, NARROWED_ROWS) for rows in (narrow, weight)), strict=True)
        if all(torch.equal(one.to(weight.dtype), other) for one, other in blocks):
            return narrow
    return weight


def _exact_rotary(rotary: Rotary, config: PreTrainedConfig) -> Rotary:
    """The model's rotary embedding made anew: a module cast to bfloat16 has rounded its frequencies.

    A frequency off by 1/512 turns by half a radian too much after 256 positions.
    """
    kind = cast(Callable[[PreTrainedConfig], Rotary], type(rotary))
    return kind(config)


def _layer_plan(block: _Block, hidden_size: int, changes: Changes) -> LayerPlan:
    attention, mlp = block.self_attn, block.mlp
    return LayerPlan(
        _gain(block.input_layernorm, hidden_size),
        _stacked([attention.q_proj, attention.k_proj, attention.v_proj], changes),
        _stacked([attention.o_proj], changes),
        _gain(block.post_attention_layernorm, hidden_size),
        _stacked([mlp.gate_proj, mlp.up_proj], changes),
        _stacked([mlp.down_proj], changes),
    )


def _gain(norm: _Norm, hidden_size: int) -> torch.Tensor:
    return norm.weight.detach().float() * math.sqrt(hidden_size)


def _stacked(linears: Sequence[nn.Linear], changes: Changes) -> Matrix:
    bias = _bias(linears)
    change = stacked_changes(
        [changes.get(linear) for linear in linears], [len(linear.weight) for linear in linears]
    )
    if len(linears) == 1:
        return Matrix(linears[0].weight.detach(), bias, change)
    weight = _joined([linear.weight.detach() for linear in linears])
    sizes = [linear.weight.shape[0] for linear in linears]
    for linear, rows in zip(linears, torch.split(weight, sizes), strict=True):
        linear.weight.data = rows
    return Matrix(weight, bias, change)


def _joined(weights: list[torch.Tensor]) -> torch.Tensor:
    """One below the other; no copy where they are the parts of an earlier plan's matrix."""
    first = weights[0]
    storage = first.untyped_storage().data_ptr()
    are_parts = all(
        other.untyped_storage().data_ptr() == storage and other.data_ptr() == one.data_ptr() + one.nbytes
        for one, other in itertools.pairwise(weights)
    )
    if not are_parts or not all(weight.is_contiguous() for weight in weights):
        return torch.cat(weights)
    return first.as_strided((sum(map(len, weights)), first.shape[1]), (first.shape[1], 1))


def _bias(linears: Sequence[nn.Linear]) -> torch.Tensor | None:
    if all(linear.bias is None for linear in linears):
        return None
    return torch.cat(
        [
            linear.weight.new_zeros(linear.weight.shape[0]) if linear.bias is None else linear.bias.detach()
            for linear in linears
        ]
    )

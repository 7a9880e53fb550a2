"""A Llama-layout decoder as plain functions of tensors, made to be trained fast.

Owns the forward pass that training uses: frozen weights, low-rank adapters beside every linear map,
causal attention without a mask (padding stands at the right, where nobody looks). One compiled block
serves all layers. It computes what the modules of transformers compute, which a test checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Weights = tuple[Tensor, ...]
"""Of one layer: the seven maps in the order of `MAPS`, then the two norms."""

LowRankPairs = tuple[tuple[Tensor, Tensor], ...]
"""Of one layer: ``(down [r, in], up [out, r])`` for each of `MAPS`, or empty."""


@dataclass(frozen=True)
class Shape:
    """What the weights do not say."""

    n_heads: int
    n_kv_heads: int
    head_dim: int
    eps: float


@dataclass(frozen=True, eq=False)
class LeanModel:
    """Frozen weights of a causal language model; `head` is tied to `embedding` where the model ties it."""

    shape: Shape
    embedding: Tensor
    layers: tuple[Weights, ...]
    norm: Tensor
    head: Tensor
    rotary: nn.Module

    @staticmethod
    def of(model: nn.Module, dtype: torch.dtype) -> LeanModel:
        """Takes the weights of a transformers model over, in `dtype`. Llama layout without biases."""
        whole = cast(Any, model)
        config = whole.config
        if any(name.endswith(".bias") for name, _ in whole.named_parameters()):
            raise ValueError("training supports models of the Llama layout without biases")
        layers = []
        for layer in whole.model.layers:
            maps = [getattr(layer.self_attn, name) for name in MAPS[:4]]
            maps += [getattr(layer.mlp, name) for name in MAPS[4:]]
            norms = (layer.input_layernorm, layer.post_attention_layernorm)
            layers.append(tuple(part.weight.detach().to(dtype) for part in (*maps, *norms)))
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return LeanModel(
            Shape(config.num_attention_heads, config.num_key_value_heads, head_dim, config.rms_norm_eps),
            whole.model.embed_tokens.weight.detach().to(dtype),
            tuple(layers),
            whole.model.norm.weight.detach().to(dtype),
            whole.lm_head.weight.detach().to(dtype),
            whole.model.rotary_emb,
        )

    def positions(self, n: int) -> tuple[Tensor, Tensor]:
        """cos and sin ``[n, head_dim]`` of the first positions."""
        ids = torch.arange(n, device=self.embedding.device)[None]
        cos, sin = self.rotary(self.embedding[:1, None], ids)
        return cos[0], sin[0]

    def logits(self, states: Tensor) -> Tensor:
        """States ``[..., H]`` of the last layer to logits ``[..., V]``."""
        return rms_norm(states, self.norm, self.shape.eps) @ self.head.T


class LowRankLayers(nn.Module):
    """Adapters for each map of each layer, in float32; without effect until trained."""

    def __init__(self, layers: Sequence[Weights], rank: int, alpha: float) -> None:
        super().__init__()
        self.rank, self.alpha, self.scale = rank, alpha, alpha / rank
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for weights in layers:
            shapes = [tuple(weight.shape) for weight in weights[: len(MAPS)]]
            downs = [nn.Parameter(torch.randn(rank, n_in) * n_in**-0.5) for _, n_in in shapes]
            ups = [nn.Parameter(torch.zeros(n_out, rank)) for n_out, _ in shapes]
            self.down.append(nn.ParameterList(downs))
            self.up.append(nn.ParameterList(ups))

    def pairs(self, dtype: torch.dtype) -> list[LowRankPairs]:
        """As `run` takes them, scaled."""
        return [
            tuple(
                (down.to(dtype), (up * self.scale).to(dtype))
                for down, up in zip(cast(Any, downs), cast(Any, ups), strict=True)
            )
            for downs, ups in zip(self.down, self.up, strict=True)
        ]

    def merged(self, layers: Sequence[Weights]) -> tuple[Weights, ...]:
        """The lowest so many layers with their adapters added to their maps, without gradients."""
        with torch.no_grad():
            return tuple(
                (
                    *(
                        (weight.float() + self.scale * up @ down).to(weight.dtype)
                        for weight, down, up in zip(weights, cast(Any, downs), cast(Any, ups), strict=False)
                    ),
                    *weights[len(MAPS) :],
                )
                for weights, downs, ups in zip(layers, self.down, self.up, strict=False)
            )

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over values by the names of `named_tensors`; raises KeyError where one is missing."""
        with torch.no_grad():
            for name, tensor in self.named_tensors().items():
                tensor.copy_(tensors[name])

    def named_tensors(self) -> dict[str, Tensor]:
        """By layer and map, as checkpoints name them: ``layers.0.q_proj.down``."""
        return {
            f"layers.{number}.{name}.{side}": getattr(self, side)[number][place].detach()
            for number in range(len(self.down))
            for place, name in enumerate(MAPS)
            for side in ("down", "up")
        }


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * cos + turned * sin


def _linear(x: Tensor, weights: Weights, pairs: LowRankPairs, *places: int) -> list[Tensor]:
    """Several maps of one input, each with its adapter."""
    if not pairs:
        return [x @ weights[place].T for place in places]
    narrow = (x @ torch.cat([pairs[place][0] for place in places]).T).chunk(len(places), dim=-1)
    return [
        x @ weights[place].T + part @ pairs[place][1].T for place, part in zip(places, narrow, strict=True)
    ]


def block(x: Tensor, cos: Tensor, sin: Tensor, weights: Weights, pairs: LowRankPairs, shape: Shape) -> Tensor:
    """One layer: states ``[N, S, H]`` to ``[N, S, H]``, causal."""
    n, length, _ = x.shape
    normed = rms_norm(x, weights[7], shape.eps)
    q, k, v = _linear(normed, weights, pairs, 0, 1, 2)
    q = q.view(n, length, shape.n_heads, shape.head_dim).transpose(1, 2)
    k = k.view(n, length, shape.n_kv_heads, shape.head_dim).transpose(1, 2)
    v = v.view(n, length, shape.n_kv_heads, shape.head_dim).transpose(1, 2)
    times = shape.n_heads // shape.n_kv_heads
    k = _rotated(k, cos, sin).repeat_interleave(times, dim=1)
    seen = functional.scaled_dot_product_attention(
        _rotated(q, cos, sin), k, v.repeat_interleave(times, dim=1), is_causal=True
    )
    x = x + _linear(seen.transpose(1, 2).reshape(n, length, -1), weights, pairs, 3)[0]
    gate, up = _linear(rms_norm(x, weights[8], shape.eps), weights, pairs, 4, 5)
    return x + _linear(functional.silu(gate) * up, weights, pairs, 6)[0]


Block = Callable[[Tensor, Tensor, Tensor, Weights, LowRankPairs, Shape], Tensor]


def run(
    model: LeanModel,
    x: Tensor,
    layers: Sequence[Weights],
    pairs: Sequence[LowRankPairs],
    compute: Block = block,
) -> Tensor:
    """States ``[N, S, H]`` after `layers`; `pairs` is empty or one set for each layer."""
    cos, sin = (part.to(x.dtype) for part in model.positions(x.shape[1]))
    for number, weights in enumerate(layers):
        x = compute(x, cos, sin, weights, pairs[number] if pairs else (), model.shape)
    return x

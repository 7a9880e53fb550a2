"""Torch blocks that fuser and projector share.

Owns the view of a generator's lower layers (`Backbone`), low-rank adapters that act on them only
while the fuser runs, the attention mask, and values drawn from a seed. What is computed with them
is `model.fuser` and `model.projector`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import CheckpointMismatch
from model.protocols import FloatArray

ATTENTION_WITH_GIVEN_MASK = ("sdpa", "eager")
_NORM_BLOCK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Backbone:
    """The lower layers of a generator: shared with it, frozen, never copied or changed.

    Works for every decoder of the Llama layout (Llama, Qwen2, Mistral, StarCoder2 and their like):
    `.model.embed_tokens`, `.model.layers`, `.model.rotary_emb`. May be used by one thread at a time,
    the one that runs the generator.
    """

    embed_tokens: nn.Embedding
    layers: tuple[nn.Module, ...]
    rotary_emb: nn.Module
    attention: str

    @staticmethod
    def of(model: nn.Module, n_layers: int) -> Backbone:
        """The lowest `n_layers` of a causal language model; their weights stop asking for gradients.

        Raises CheckpointMismatch where the model is of another layout or has fewer layers.
        """
        decoder = getattr(model, "model", None)
        missing = [name for name in ("embed_tokens", "layers", "rotary_emb") if not hasattr(decoder, name)]
        if missing:
            raise CheckpointMismatch(
                f"a fuser needs a generator of the Llama layout; {type(model).__name__} has no "
                f"{', '.join(f'model.{name}' for name in missing)}; use `context.mode = text` with it"
            )
        decoder = cast(Any, decoder)
        if len(decoder.layers) < n_layers:
            raise CheckpointMismatch(
                f"the fuser uses {n_layers} layers, the generator has {len(decoder.layers)}; "
                "load the generator that the checkpoint was made for"
            )
        attention = str(getattr(decoder.config, "_attn_implementation", "eager"))
        if attention not in ATTENTION_WITH_GIVEN_MASK:
            raise CheckpointMismatch(
                f"the generator was loaded with {attention!r} attention, which takes no mask of ours; "
                f"load it with {' or '.join(ATTENTION_WITH_GIVEN_MASK)}"
            )
        backbone = Backbone(
            decoder.embed_tokens, tuple(decoder.layers[:n_layers]), decoder.rotary_emb, attention
        )
        for module in (backbone.embed_tokens, *backbone.layers):
            module.requires_grad_(False)
        return backbone

    @property
    def hidden_size(self) -> int:
        return int(self.embed_tokens.weight.shape[1])

    @property
    def device(self) -> torch.device:
        return self.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embed_tokens.weight.dtype

    def run(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """States ``[N, S, H]`` of the last layer for inputs ``[N, S, H]`` and presence ``[N, S]``.

        Causal; an absent position is seen by no other and takes up no rotary position.
        """
        positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
        attention_mask = causal_mask(mask, self.attention, hidden.dtype)
        rotary = self.rotary_emb(hidden, positions)
        for layer in self.layers:
            output = layer(
                hidden, attention_mask=attention_mask, position_ids=positions, position_embeddings=rotary
            )
            # transformers before 4.54 wrapped the states in a tuple
            hidden = output[0] if isinstance(output, tuple) else output
        return hidden

    def token_norm(self) -> float:
        """The mean length of the input embeddings, computed without a second copy of them."""
        weight = self.embed_tokens.weight.detach()
        total = 0.0
        for start in range(0, len(weight), _NORM_BLOCK_ROWS):
            total += float(weight[start : start + _NORM_BLOCK_ROWS].float().norm(dim=1).sum())
        return total / max(1, len(weight))


def causal_mask(present: Tensor, attention: str, dtype: torch.dtype) -> Tensor:
    """What may be attended to, ``[N, 1, S, S]``, as the layers of transformers take it.

    Each position sees itself even where it is absent: a row without any key gives NaN in some
    kernels, and NaN times a weight of zero would reach the others.
    """
    length = present.shape[1]
    ones = torch.ones(length, length, dtype=torch.bool, device=present.device)
    allowed = (ones.tril() & present[:, None, :]) | torch.eye(length, dtype=torch.bool, device=present.device)
    allowed = allowed[:, None]
    if attention == "sdpa":
        return allowed
    return torch.zeros(allowed.shape, dtype=dtype, device=present.device).masked_fill(
        ~allowed, torch.finfo(dtype).min
    )


class LowRank(nn.Module):
    """The product of two thin matrices, added to a linear map; zero until trained."""

    def __init__(self, n_in: int, n_out: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, n_in))
        self.up = nn.Parameter(torch.empty(n_out, rank))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.down.to(x.dtype).T) @ self.up.to(x.dtype).T


class Adapters(nn.Module):
    """LoRA (Hu et al. 2021) for named linear maps of each layer of a backbone.

    The weights live here and not in the backbone, and act only inside `applied`: the generator,
    which shares the layers, never sees them. A backward pass that runs layers again (gradient
    checkpointing) must be inside `applied` too.
    """

    def __init__(self, backbone: Backbone, rank: int, alpha: float, targets: Sequence[str]) -> None:
        super().__init__()
        self.scale = alpha / max(1, rank)
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: LowRank(*_features(layer, name), rank) for name in targets if rank})
            for layer in backbone.layers
        )

    @contextmanager
    def applied(self, backbone: Backbone) -> Iterator[None]:
        """Within this context the backbone's maps give their own output plus the adapter's."""
        with ExitStack() as hooks:
            for adapters, layer in zip(self.layers, backbone.layers, strict=True):
                for name, adapter in cast(nn.ModuleDict, adapters).items():
                    handle = linear_of(layer, name).register_forward_hook(self._adding(adapter))
                    hooks.callback(handle.remove)
            yield

    def _adding(self, adapter: nn.Module) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output + self.scale * cast(Tensor, adapter(inputs[0]))

        return hook


def linear_of(layer: nn.Module, name: str) -> nn.Module:
    """The one map of `layer` that is called `name`; raises CheckpointMismatch if there is none."""
    modules: dict[str, nn.Module] = dict(layer.named_modules())
    found = [module for path, module in modules.items() if path.rpartition(".")[2] == name]
    if len(found) != 1:
        have = sorted(path.rpartition(".")[2] for path, m in modules.items() if isinstance(m, nn.Linear))
        raise CheckpointMismatch(
            f"the generator's layers have no linear map {name!r} to adapt (they have {', '.join(have)}); "
            "load the generator that the checkpoint was made for"
        )
    return found[0]


def _features(layer: nn.Module, name: str) -> tuple[int, int]:
    linear = linear_of(layer, name)
    try:
        return int(cast(Any, linear).in_features), int(cast(Any, linear).out_features)
    except AttributeError as error:
        raise CheckpointMismatch(
            f"the generator's {name!r} is a {type(linear).__name__}, which cannot be adapted; "
            "load the generator unquantised"
        ) from error


def tensor_of(vectors: FloatArray, device: torch.device) -> Tensor:
    """A float32 copy: torch refuses reversed views and warns of read-only ones, as stores give out."""
    return torch.from_numpy(np.array(vectors, dtype=np.float32, order="C")).to(device)


def fill_normal(parameter: Tensor, std: float, seed: int, name: str) -> None:
    """Normal values that depend on seed and name alone: not on order, platform or torch's state."""
    source = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values = source.standard_normal(tuple(parameter.shape), dtype=np.float64) * std
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))

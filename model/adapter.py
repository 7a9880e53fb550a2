"""The generator's own adapter: low-rank changes that travel with a checkpoint and are merged on loading.

Owns its sizes, the marks it taught the generator for filling in the middle, and the merging. Training it
is `model.training`; the fuser's adapters, which act only while the fuser runs, are `model.layers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from model.errors import CheckpointMismatch, ModelCorrupt
from model.layers import linear_of
from model.low_rank import LowRank
from model.protocols import FimTemplate

PREFIX = "adapter."
"""Before the names of the adapter's tensors: ``adapter.layers.0.q_proj.down``."""


@dataclass(frozen=True)
class AdapterConfig:
    """LoRA (Hu et al. 2021) of rank `rank` for the maps `targets` of every layer of the generator.

    `fim` names marks of the vocabulary with which the adapter taught the generator to read a suffix.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    fim: FimTemplate | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.targets:
            raise ValueError(f"an adapter needs a rank and maps to adapt, got {self}")


def merge_adapter(
    model: nn.Module, config: AdapterConfig, tensors: Mapping[str, Tensor]
) -> dict[nn.Module, LowRank]:
    """Adds the adapter to the model's maps, in place; nothing is changed unless everything fits.

    Returns what was added to which map, for a runtime that keeps both apart. Raises CheckpointMismatch
    where the model has no such maps, ModelCorrupt where tensors are missing, of another shape, or not
    finite.
    """
    changes = []
    names = set[str]()
    for name, linear in _maps(model, config):
        down, up = (tensors.get(f"{PREFIX}{name}.{side}") for side in ("down", "up"))
        names |= {f"{PREFIX}{name}.down", f"{PREFIX}{name}.up"}
        n_out, n_in = linear.weight.shape
        if (
            down is None
            or up is None
            or down.shape != (config.rank, n_in)
            or up.shape != (n_out, config.rank)
        ):
            raise ModelCorrupt(
                f"the checkpoint's adapter of {name} is missing or of another shape; fetch it again"
            )
        if not bool(down.isfinite().all() and up.isfinite().all()):
            raise ModelCorrupt(f"the checkpoint's adapter of {name} holds numbers that are not finite")
        changes.append((linear, down, up))
    if surplus := sorted(name for name in tensors if name.startswith(PREFIX) and name not in names):
        raise ModelCorrupt(
            f"the checkpoint's adapter holds the unknown {', '.join(surplus[:3])}; fetch it again"
        )
    scale = config.alpha / config.rank
    merged: dict[nn.Module, LowRank] = {}
    with torch.no_grad():
        for linear, down, up in changes:
            change = merged[linear] = LowRank(down.float(), scale * up.float())
            linear.weight += change.whole().to(linear.weight.device, linear.weight.dtype)
    return merged


def _maps(model: nn.Module, config: AdapterConfig) -> Iterator[tuple[str, nn.Linear]]:
    layers = getattr(getattr(model, "model", None), "layers", None)
    if layers is None:
        raise CheckpointMismatch(
            f"the checkpoint adapts a generator of the Llama layout, {type(model).__name__} is none; "
            "set model.checkpoint to auto"
        )
    for number, layer in enumerate(cast(Any, layers)):
        for target in config.targets:
            linear = linear_of(layer, target)
            if not isinstance(linear, nn.Linear):
                raise CheckpointMismatch(
                    f"the generator's {target!r} is a {type(linear).__name__}, which cannot be adapted; "
                    "load the generator unquantised"
                )
            yield f"layers.{number}.{target}", linear

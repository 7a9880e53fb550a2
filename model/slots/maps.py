"""What was learnt to make of pairs before a prompt takes them over: the slots' own projector.

Owns a linear map for the keys and one for the values of each key head, their file, and which generator they
are for. They cost some milliseconds a prompt; `model.slots.maps_fitting` learns them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.slots.layout import SlotLayout
from model.slots.learnt_file import digest_of, load_learnt, save_learnt

MAPS_VERSION = 1
MAPS_FOLDER = Path(__file__).parent.parent / "slot_maps"


@dataclass(frozen=True, eq=False)
class SlotMaps:
    """`changes` ``[heads, 2, S, S]``: the product with it is added to a head's keys, and to its values."""

    changes: Tensor
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Names the maps: other ones say other things of the same pairs."""
        return digest_of(self.changes)

    def applied(self, heads: Tensor, numbers: Tensor) -> Tensor:
        """Numbers ``[T, 2 S]`` of pairs, changed; `heads` ``[T]`` go up."""
        size = self.changes.shape[-1]
        whole = numbers.view(-1, 2, size).transpose(0, 1)
        parts = torch.split(whole, torch.bincount(heads).tolist(), dim=1)
        changed = [part.baddbmm(part, self.changes[head]) for head, part in enumerate(parts)]
        return torch.cat(changed, dim=1).transpose(0, 1).reshape(numbers.shape)

    def check(self, layout: SlotLayout) -> None:
        """Raises ValueError unless they are for a generator of this shape."""
        if self.changes.shape != (layout.n_heads, 2, layout.head_size, layout.head_size):
            raise ValueError(f"maps of {tuple(self.changes.shape)} for a generator of {layout}")

    def save(self, path: Path) -> None:
        """Raises OSError."""
        save_learnt(path, self.changes, MAPS_VERSION, self.provenance)


def load_maps(path: Path) -> SlotMaps:
    """Raises ModelCorrupt for a file that holds none."""
    return SlotMaps(*load_learnt(path, MAPS_VERSION, 4))


def maps_for(name: str) -> SlotMaps | None:
    """Those learnt for the generator of that name in the catalogue; None: pairs are taken as they are."""
    path = MAPS_FOLDER / f"{name}.safetensors"
    return load_maps(path) if name and path.is_file() else None

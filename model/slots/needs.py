"""How much each pair of a text will be needed, told from one reading of it.

Owns a linear map for each layer, its file, and which generator it is for. Reading a text a second time says
it too (`model.slots.reader`), at twice the cost; the maps are fitted to that by `model.slots.needs_fitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import pad

from model.slots.learnt_file import digest_of, load_learnt, save_learnt

NEEDS_VERSION = 1
NEEDS_FOLDER = Path(__file__).parent.parent / "needs"


@dataclass(frozen=True, eq=False)
class Needs:
    """`weights` ``[L, H + 1, G]``: of a layer's unit rows and a one to a score of each key head."""

    weights: Tensor
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Names the weights: other ones choose other pairs."""
        return digest_of(self.weights)

    def scores(self, layer: int, rows: Tensor) -> Tensor:
        """Unit rows ``[n, H]`` to ``[G, n]``; the higher, the more will be looked there."""
        return (with_one(rows) @ self.weights[layer].to(rows)).T

    def fits(self, n_layers: int, n_kv_heads: int, hidden_size: int) -> bool:
        """Whether it is for a generator of this shape."""
        return self.weights.shape == (n_layers, hidden_size + 1, n_kv_heads)

    def save(self, path: Path) -> None:
        """Raises OSError."""
        save_learnt(path, self.weights, NEEDS_VERSION, self.provenance)


def with_one(rows: Tensor) -> Tensor:
    """Rows ``[..., H]`` and a one behind each, ``[..., H + 1]``."""
    return pad(rows, (0, 1), value=1.0)


def load_needs(path: Path) -> Needs:
    """Raises ModelCorrupt for a file that holds none."""
    return Needs(*load_learnt(path, NEEDS_VERSION, 3))


def needs_for(name: str) -> Needs | None:
    """Those fitted for the generator of that name in the catalogue; None: its texts are read twice."""
    path = NEEDS_FOLDER / f"{name}.safetensors"
    return load_needs(path) if name and path.is_file() else None

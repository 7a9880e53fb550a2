"""How much each pair of a text will be needed, told from one reading of it.

Owns a linear map for each layer, its file, and which generator it is for. Reading a text a second time says
it too (`model.slots.reader`), at twice the cost; the maps are fitted to that by `model.slots.needs_fitting`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.functional import pad

from model.errors import ModelCorrupt

NEEDS_VERSION = 1
NEEDS_FOLDER = Path(__file__).parent.parent / "needs"
_WEIGHTS, _ABOUT = "weights", "about"


@dataclass(frozen=True, eq=False)
class Needs:
    """`weights` ``[L, H + 1, G]``: of a layer's unit rows and a one to a score of each key head."""

    weights: Tensor
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Names the weights: other ones choose other pairs."""
        return blake2b(self.weights.half().cpu().numpy().tobytes(), digest_size=4).hexdigest()

    def scores(self, layer: int, rows: Tensor) -> Tensor:
        """Unit rows ``[n, H]`` to ``[G, n]``; the higher, the more will be looked there."""
        return (with_one(rows) @ self.weights[layer].to(rows)).T

    def fits(self, n_layers: int, n_kv_heads: int, hidden_size: int) -> bool:
        """Whether it is for a generator of this shape."""
        return self.weights.shape == (n_layers, hidden_size + 1, n_kv_heads)

    def save(self, path: Path) -> None:
        """Raises OSError."""
        about = json.dumps({"format_version": NEEDS_VERSION, "provenance": dict(self.provenance)})
        path.write_bytes(
            safetensors.torch.save({_WEIGHTS: self.weights.half().contiguous()}, {_ABOUT: about})
        )


def with_one(rows: Tensor) -> Tensor:
    """Rows ``[..., H]`` and a one behind each, ``[..., H + 1]``."""
    return pad(rows, (0, 1), value=1.0)


def load_needs(path: Path) -> Needs:
    """Raises ModelCorrupt for a file that holds none."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_ABOUT])
            weights = file.get_tensor(_WEIGHTS).float()
        if about["format_version"] != NEEDS_VERSION or weights.ndim != 3 or not weights.isfinite().all():
            raise ValueError("another format")
        return Needs(weights, about["provenance"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelCorrupt(
            f"{path} does not say what a generator needs ({error}); install hef-lsp again"
        ) from error


def needs_for(name: str) -> Needs | None:
    """Those fitted for the generator of that name in the catalogue; None: its texts are read twice."""
    path = NEEDS_FOLDER / f"{name}.safetensors"
    return load_needs(path) if name and path.is_file() else None

"""Tensors that were learnt for one generator's slots, as a file beside this package's code.

Owns the format: safetensors in half precision, and what is told of how they came to be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.errors import ModelCorrupt

_TENSOR, _ABOUT = "weights", "about"


def save_learnt(path: Path, weights: Tensor, version: int, provenance: Mapping[str, Any]) -> None:
    """Raises OSError."""
    about = json.dumps({"format_version": version, "provenance": dict(provenance)})
    path.write_bytes(safetensors.torch.save({_TENSOR: weights.half().contiguous()}, {_ABOUT: about}))


def load_learnt(path: Path, version: int, n_dimensions: int) -> tuple[Tensor, Mapping[str, Any]]:
    """The weights, float32, and their provenance. Raises ModelCorrupt for a file that holds no such."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_ABOUT])
            weights: Tensor = file.get_tensor(_TENSOR).float()
        if about["format_version"] != version or weights.ndim != n_dimensions or not weights.isfinite().all():
            raise ValueError("another format")
        return weights, about["provenance"]
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelCorrupt(
            f"{path} does not hold what was learnt for a generator's slots ({error}); install hef-lsp again"
        ) from error


def digest_of(weights: Tensor) -> str:
    """Names weights, as a file holds them."""
    return blake2b(weights.half().cpu().numpy().tobytes(), digest_size=4).hexdigest()

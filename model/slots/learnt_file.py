"""What was learnt for one generator's slots: a tensor, how it came to be, and its file.

Owns the format (safetensors in half precision) and where files of this package lie. What a tensor means its
own module says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Self

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.errors import ModelCorrupt

PACKAGE = Path(__file__).parent.parent
_TENSOR, _ABOUT = "weights", "about"


@dataclass(frozen=True, eq=False)
class Learnt:
    """`weights`, and on what they were learnt."""

    weights: Tensor
    provenance: Mapping[str, Any] = field(default_factory=dict)

    version: ClassVar[int]
    n_dimensions: ClassVar[int]
    folder: ClassVar[Path]

    @cached_property
    def digest(self) -> str:
        """Names the weights, as a file holds them."""
        return blake2b(self.weights.half().cpu().numpy().tobytes(), digest_size=4).hexdigest()

    def save(self, path: Path) -> None:
        """Raises OSError."""
        about = json.dumps({"format_version": self.version, "provenance": dict(self.provenance)})
        tensors = {_TENSOR: self.weights.half().contiguous()}
        path.write_bytes(safetensors.torch.save(tensors, {_ABOUT: about}))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises ModelCorrupt for a file that holds no such."""
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})[_ABOUT])
                weights: Tensor = file.get_tensor(_TENSOR).float()
            is_known = about["format_version"] == cls.version and weights.ndim == cls.n_dimensions
            if not is_known or not weights.isfinite().all():
                raise ValueError("another format")
            return cls(weights, about["provenance"])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelCorrupt(
                f"{path} holds nothing that was learnt for slots ({error}); "
                "install hef-lsp again, or give a file that `hef-lsp train` wrote"
            ) from error

    @classmethod
    def for_generator(cls, name: str) -> Self | None:
        """What was learnt for the generator of that name in the catalogue. Raises ModelCorrupt."""
        path = cls.folder / f"{name}.safetensors"
        return cls.load(path) if name and path.is_file() else None

"""Small fusers and projectors over tiny random generators, for the tests of the dense side."""

from __future__ import annotations

import numpy as np
import torch

from model.checkpoint import Checkpoint, build_modules, seeded_checkpoint
from model.fuser import FuserConfig, HefFuser
from model.layers import Backbone
from model.loading import LoadedModel
from model.projector import HefProjector, ProjectorConfig
from model.protocols import FloatArray

N_VECTORS, DIMENSION, MAX_CHILDREN = 4, 16, 5
TEXTS = (
    "def add(first, second):\n    return first + second\n",
    "class Counter:\n    def step(self):\n        self.count += 1\n",
    "x",
    "",
    "import os\nimport sys\n" * 4,
)


def fuser_config(loaded: LoadedModel, **changes: object) -> FuserConfig:
    sizes: dict[str, object] = {
        "n_vectors": N_VECTORS,
        "dimension": DIMENSION,
        "n_layers": 2,
        "max_children": MAX_CHILDREN,
        "max_tokens": 40,
        "lora_rank": 3,
        "lora_alpha": 6.0,
    }
    return FuserConfig(loaded.hidden_size, 1.5, **(sizes | changes))  # type: ignore[arg-type]


def projector_config(loaded: LoadedModel, **changes: object) -> ProjectorConfig:
    sizes: dict[str, object] = {"n_vectors": N_VECTORS, "dimension": DIMENSION, "width": 24}
    return ProjectorConfig(loaded.hidden_size, 1.5, **(sizes | changes))  # type: ignore[arg-type]


def seeded(loaded: LoadedModel, seed: int = 0, **changes: object) -> Checkpoint:
    """`changes` of the fuser's sizes; those that the projector shares change there too."""
    shared = {name: value for name, value in changes.items() if name in ("n_vectors", "dimension")}
    fuser, projector = fuser_config(loaded, **changes), projector_config(loaded, **shared)
    backbone = Backbone.of(loaded.model, fuser.n_layers)
    return seeded_checkpoint(loaded.model_id, backbone, fuser, projector, seed)


def dense_parts(loaded: LoadedModel, **changes: object) -> tuple[HefFuser, HefProjector]:
    checkpoint = seeded(loaded, **changes)
    backbone = Backbone.of(loaded.model, checkpoint.config.fuser.n_layers)
    return build_modules(checkpoint, backbone, loaded.tokenizer.encode_batch)


def stir(module: torch.nn.Module, seed: int = 1) -> None:
    """Gives every parameter a value as if it had been trained, so that none is zero."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=source)


def random_children(n_parents: int, n_slots: int, seed: int = 0) -> FloatArray:
    source = np.random.default_rng(seed)
    return source.standard_normal((n_parents, n_slots, N_VECTORS, DIMENSION)).astype(np.float32)

"""A scorer of utilities from a generator as it is loaded here, without fuser, projector or adapter."""

from __future__ import annotations

import torch

from model.fuser import FuserConfig
from model.loading import LoadedModel
from model.projector import ProjectorConfig
from model.training.examples import ExamplePlan
from model.training.lean import LeanModel
from model.training.network import Network, NetworkConfig
from model.training.utility import Scorer

_SMALLEST = 8


def scorer_of(loaded: LoadedModel, plan: ExamplePlan, rows: int) -> Scorer:
    """Raises ValueError for a model that is not of the Llama layout."""
    lean = LeanModel.of(loaded.model, torch.bfloat16)
    fuser = FuserConfig(loaded.hidden_size, 1.0, _SMALLEST, _SMALLEST, 1, lora_rank=1)
    projector = ProjectorConfig(loaded.hidden_size, 1.0, _SMALLEST, _SMALLEST, _SMALLEST)
    network = Network(lean, NetworkConfig(fuser, projector, 0))
    return Scorer(network, loaded.tokenizer, None, plan, rows)

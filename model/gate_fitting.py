"""Fitting the gate to decisions: where the model and the memory name different tokens, which is right?

Owns the objective and its optimiser; samples are made by `hef_lsp.training.gate_samples`. Only cases where
exactly one of the two is right say anything, and what is fitted is the very comparison that decoding makes:
the mixed probability of the memory's token against that of the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model.interpolation import FEATURES

RIDGE = 1e-4
SHARPNESS = 2.0
"""How steeply a mixed log-odds turns into a decision while fitting."""


@dataclass(frozen=True)
class GateSample:
    """`features` at a step, probabilities of both tokens under both sides, and whether the memory is right.

    `model_own` and `model_other` are the model's probabilities of its own best token and of the memory's;
    `memory_own` and `memory_other` the memory's of its best and of the model's.
    """

    features: tuple[float, ...]
    model_own: float
    model_other: float
    memory_own: float
    memory_other: float
    memory_right: bool


@dataclass(frozen=True)
class Fit:
    """Shares of decisions that come out right: `right` by the gate, the others by always one side."""

    weights: tuple[float, ...]
    n_samples: int
    right: float
    model: float
    memory: float


def fit_gate(samples: Sequence[GateSample], caution: float = 1.0) -> Fit:
    """Weights of the gate; `caution` is how much more a model's right token counts than a memory's.

    Raises ValueError without samples of both kinds.
    """
    memory_right = torch.tensor([sample.memory_right for sample in samples])
    if not samples or memory_right.all() or not memory_right.any():
        raise ValueError("the gate needs steps where the memory is right and steps where the model is")
    x = torch.tensor([sample.features for sample in samples], dtype=torch.float64)
    sides = [[s.model_own, s.model_other, s.memory_own, s.memory_other] for s in samples]
    model_own, model_other, memory_own, memory_other = torch.tensor(sides, dtype=torch.float64).T
    cost = torch.where(memory_right, 1.0, caution)
    weights = torch.zeros(len(FEATURES), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def odds() -> torch.Tensor:
        w = torch.sigmoid(x @ weights)
        memory = w * memory_own + (1 - w) * model_other
        model = w * memory_other + (1 - w) * model_own
        return torch.log(memory + 1e-9) - torch.log(model + 1e-9)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        signs = torch.where(memory_right, 1.0, -1.0)
        value = (cost * torch.nn.functional.softplus(-SHARPNESS * signs * odds())).mean()
        value = value + RIDGE * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    right = ((odds() > 0) == memory_right).double().mean()
    n_memory = float(memory_right.double().mean())
    return Fit(tuple(weights.tolist()), len(samples), float(right), 1 - n_memory, n_memory)

"""Gates with a known mind, for tests of what asks them."""

from __future__ import annotations

import torch

from model.candidates import FEATURES
from model.gate import Gate, GateWeights


def gate_of(trust: float = 0.0, seed: int | None = None, **linear: float) -> Gate:
    """Scores by the model's log-probability times `trust`, by named features, and at random with a `seed`."""
    weights = torch.zeros(len(FEATURES))
    for name, value in linear.items():
        weights[FEATURES.index(name)] = value
    hidden, out = torch.zeros(4, len(FEATURES)), torch.zeros(4)
    if seed is not None:
        source = torch.Generator().manual_seed(seed)
        hidden, out = torch.randn(4, len(FEATURES), generator=source), torch.randn(4, generator=source)
    return Gate(GateWeights(torch.tensor(trust), weights, hidden, torch.zeros(4), out))


ALWAYS = gate_of(first_0=50.0)
"""Takes the best candidate of the longest match."""
NEVER = gate_of(trust=5.0)
"""Takes what the model says; 5 nats are one unit of the feature."""
EITHER = gate_of(trust=2.0, seed=1, first_0=1.0)

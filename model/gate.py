"""The gate: what each candidate for the next token is worth, seen by the model and by the exact memory.

Owns its numbers, their file and their arithmetic. What it looks at is `model.candidates`; it is fitted on
training repositories by `model.gate_fitting` and stored as JSON with its provenance.

A weight w on the memory as a whole, as in the cache models of Hellendoorn and Devanbu (2017), says of all
of its candidates the same; here each is scored by itself, log-linearly with a small network beside it, and
all matches, long and short, have their say (docs/decisions/0009).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, linear

from model.candidates import FEATURES, LOG_PROB
from model.errors import ModelCorrupt
from model.protocols import FloatArray

GATE_VERSION = 3
GATES_FOLDER = Path(__file__).parent / "gates"
DEFAULT_GATE = "default"
_LINEAR = np.float32(math.sqrt(2 / math.pi))
_CUBIC = np.float32(0.044715 * math.sqrt(2 / math.pi))
"""Of gelu's tanh."""


@dataclass(frozen=True)
class GateWeights:
    """``score = trust * log-probability + linear . x + out . gelu(hidden x + bias)`` for features x.

    `trust` ``[]``, `linear` ``[F]``, `hidden` ``[H, F]``, `bias` ``[H]``, `out` ``[H]``, all float32.
    """

    trust: Tensor
    linear: Tensor
    hidden: Tensor
    bias: Tensor
    out: Tensor

    def __post_init__(self) -> None:
        n_hidden, n_features = len(self.bias), len(FEATURES)
        shapes = [tuple(tensor.shape) for tensor in vars(self).values()]
        if shapes != [(), (n_features,), (n_hidden, n_features), (n_hidden,), (n_hidden,)]:
            raise ValueError(
                f"a gate's weights have the shapes {shapes}, not those for {n_features} features"
            )
        if not all(bool(torch.isfinite(tensor).all()) for tensor in vars(self).values()):
            raise ValueError("a gate's weights must be finite")

    def scores(self, features: Tensor) -> Tensor:
        """``[..., F]`` to ``[...]``; the candidate with the highest is the best."""
        inner = gelu(linear(features, self.hidden, self.bias), approximate="tanh")
        return self.trust * features[..., LOG_PROB] + features @ self.linear + inner @ self.out


@dataclass(frozen=True)
class Gate:
    """Weights, and on what they were fitted."""

    weights: GateWeights
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def scores(self, features: FloatArray) -> FloatArray:
        """As the weights' own, ``[C, F]`` to ``[C]``; without torch, whose calls take longer than the sum."""
        weights = self._arrays
        inner: FloatArray = features @ weights["hidden"].T
        inner += weights["bias"]
        bent: FloatArray = np.tanh((_CUBIC * inner * inner + _LINEAR) * inner)
        bent += 1.0
        inner *= bent
        scores: FloatArray = features @ weights["of_features"] + inner @ weights["half_out"]
        return scores

    @cached_property
    def _arrays(self) -> dict[str, FloatArray]:
        of_features = self.weights.linear.clone()
        of_features[LOG_PROB] += self.weights.trust
        tensors = {
            "hidden": self.weights.hidden,
            "bias": self.weights.bias,
            "of_features": of_features,
            "half_out": self.weights.out / 2,
        }
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    def to_json(self) -> dict[str, Any]:
        """Numbers to five digits."""
        rounded = {name: _rounded(tensor.tolist()) for name, tensor in vars(self.weights).items()}
        return {
            "format_version": GATE_VERSION,
            "features": list(FEATURES),
            "weights": rounded,
            "provenance": dict(self.provenance),
        }


def _rounded(values: Any) -> Any:
    return [_rounded(value) for value in values] if isinstance(values, list) else float(f"{values:.5g}")


def _tensors(data: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in data["weights"].items()}


def load_gate(path: Path) -> Gate:
    """Raises ModelCorrupt for a file that is no gate."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format_version"] != GATE_VERSION or tuple(data["features"]) != FEATURES:
            raise ValueError("another format")
        return Gate(GateWeights(**_tensors(data)), data["provenance"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelCorrupt(f"{path} is no gate of this version ({error}); install hef-lsp again") from error


def load_earlier_gate(path: Path) -> Gate:
    """A gate that may know fewer features than this version: it makes nothing of the others.

    For fitting it further. Raises ModelCorrupt for a file that is no gate.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = [FEATURES.index(name) for name in data["features"]]
        tensors = _tensors(data)
        for name in ("linear", "hidden"):
            wide = torch.zeros(*tensors[name].shape[:-1], len(FEATURES))
            wide[..., known] = tensors[name]
            tensors[name] = wide
        return Gate(GateWeights(**tensors), data["provenance"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelCorrupt(
            f"{path} is no gate to go on with ({error}); give one that `hef-lsp train gate` wrote"
        ) from error


def gate_for(name: str) -> Gate:
    """The gate fitted for the generator of that name in the catalogue, or the default."""
    path = GATES_FOLDER / f"{name}.json"
    return load_gate(path if name and path.is_file() else GATES_FOLDER / f"{DEFAULT_GATE}.json")

"""The generator's distribution mixed with what the exact memory saw next: p = (1 - w) p_LM + w p_memory.

Owns the gate that says how much the memory is to be trusted, w, and the mixing. The gate's numbers are
fitted on training repositories (`model.gate_fitting`) and stored as JSON with their provenance; it was
fitted to the *decision*, which of two candidates is right, since the weight that is best for likelihood is
too timid for greedy decoding (docs/log.md).

The form is that of the cache models of Hellendoorn and Devanbu (2017) and of infini-gram (Liu et al. 2024),
at decode time and over the user's own workspace.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.errors import ModelCorrupt
from model.exact_memory import ExactMemory, Match

FEATURES = (
    "bias",
    "length",
    "long",
    "log_support",
    "share",
    "near",
    "in_file",
    "model_best",
    "model_of_memory",
    "entropy",
)
"""`length` of the match in tokens / 16, `long` whether it is 8 or more, log2 of `support` / 10, the best
candidate's `share`, `near`, `in_file`; the model's probability of its own best token and, as a log / 10, of
the memory's; the model's `entropy` / 10."""
LEAST_LOG_PROB = -20.0
GATE_VERSION = 1
GATES_FOLDER = Path(__file__).parent / "gates"
DEFAULT_GATE = "default"


@dataclass(frozen=True)
class Gate:
    """A logistic gate over `FEATURES`. `provenance` says on what it was fitted."""

    weights: tuple[float, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES) or not all(map(math.isfinite, self.weights)):
            raise ValueError(f"a gate has {len(FEATURES)} finite weights, got {self.weights}")

    def weight(self, features: Sequence[float]) -> float:
        """w, between 0 and 1."""
        total = sum(w * x for w, x in zip(self.weights, features, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))

    def to_json(self) -> dict[str, Any]:
        weights = dict(zip(FEATURES, self.weights, strict=True))
        return {"format_version": GATE_VERSION, "weights": weights, "provenance": dict(self.provenance)}


def load_gate(path: Path) -> Gate:
    """Raises ModelCorrupt for a file that is no gate."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format_version"] != GATE_VERSION or set(data["weights"]) != set(FEATURES):
            raise ValueError("another format")
        return Gate(tuple(float(data["weights"][name]) for name in FEATURES), data["provenance"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelCorrupt(f"{path} is no gate of this version ({error}); install hef-lsp again") from error


def gate_for(name: str) -> Gate:
    """The gate fitted for the generator of that name in the catalogue, or the default."""
    path = GATES_FOLDER / f"{name}.json"
    return load_gate(path if name and path.is_file() else GATES_FOLDER / f"{DEFAULT_GATE}.json")


def features_of(match: Match, log_probs: Tensor) -> list[float]:
    """What the gate looks at; `log_probs` ``[V]`` are the model's."""
    best = match.candidates[0]
    probs = log_probs.exp()
    entropy = float(-(probs * log_probs.clamp(min=LEAST_LOG_PROB)).sum())
    return [
        1.0,
        match.length / 16,
        float(match.length >= 8),
        math.log2(match.support) / 10,
        best.count / max(1, match.support),
        best.near,
        float(best.in_file),
        float(log_probs.max().exp()),
        max(LEAST_LOG_PROB, float(log_probs[best.token_id])) / 10,
        entropy / 10,
    ]


class Interpolation:
    """Mixes each step's distribution; keeps the tokens so far. One generation each."""

    def __init__(self, memory: ExactMemory, gate: Gate, context: Sequence[int]) -> None:
        self._memory, self._gate = memory, gate
        self._context = list(context[-_CONTEXT:])

    def mixed(self, logits: Tensor) -> Tensor:
        """Logits ``[V]`` to log-probabilities ``[V]`` with the memory's share in them, float32."""
        log_probs = logits.float().log_softmax(0)
        match = self._memory.match(self._context)
        if match is None:
            return log_probs
        w = self._gate.weight(features_of(match, log_probs))
        mixed = log_probs + math.log1p(-w) if w < 1.0 else torch.full_like(log_probs, -math.inf)
        ids = torch.tensor([candidate.token_id for candidate in match.candidates], device=logits.device)
        counts = torch.tensor([float(c.count) for c in match.candidates], device=logits.device)
        share = torch.log(w * counts / match.support)
        mixed[ids] = torch.logaddexp(mixed[ids], share)
        return mixed

    def match_after(self, token_id: int) -> Match | None:
        """What the memory knows of the last words; `token_id`, the newest, is among them already."""
        assert self._context[-1] == token_id, f"{token_id} was not pushed"
        return self._memory.match(self._context)

    def push(self, token_id: int) -> None:
        """`token_id` was chosen."""
        self._context.append(token_id)
        del self._context[:-_CONTEXT]


_CONTEXT = 16

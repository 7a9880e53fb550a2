"""The generator's distribution mixed with what the exact memory saw next.

Owns the mixing at each step of one generation: the candidates' probabilities are set by the gate, all
others keep the model's proportions. What a candidate is worth is `model.gate`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from model.candidates import CandidateReader
from model.exact_memory import Kin, Match
from model.gate import Gate
from model.protocols import FloatArray
from model.scores import Distribution, scores_of

LEAST_SHARE = 0.5
"""Of the probability, for the candidates together: the gate was fitted to choose among them."""
MOST_SHARE = 1.0 - 1e-6


class Interpolation:
    """Mixes each step's distribution. One generation each."""

    def __init__(self, reader: CandidateReader, gate: Gate) -> None:
        self._reader, self._gate = reader, gate

    def mixed(self, logits: Tensor) -> FloatArray:
        """Logits ``[V]`` to log-probabilities ``[V]``."""
        said = Distribution.of(scores_of(logits))
        candidates = self._reader.candidates(said)
        share = float(said.probs.take(candidates.ids).sum())
        wanted = min(max(share, LEAST_SHARE), MOST_SHARE)
        mixed = said.log_probs + np.float32(math.log((1.0 - wanted) / max(1.0 - share, 1.0 - MOST_SHARE)))
        worth = Distribution.of(self._gate.scores(candidates.features))
        mixed[candidates.ids] = worth.log_probs + math.log(wanted)
        return mixed

    def known(self) -> tuple[Sequence[Match], Sequence[Kin]]:
        """What the memory knows of the words so far."""
        return self._reader.known()

    def push(self, token_id: int) -> None:
        """`token_id` was chosen."""
        self._reader.push(token_id)

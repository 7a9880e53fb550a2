"""A vocabulary's scores on the CPU: their best, their sum, their shares.

Owns arithmetic that each chosen token asks for. In numpy: its small calls cost less than torch's where a
pass has just gone through the processor's caches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from model.protocols import FloatArray, IntArray

LEAST_LOG_PROB = -20.0
_BLOCK = 256
_WITHIN = np.arange(_BLOCK)


def scores_of(logits: torch.Tensor) -> FloatArray:
    """Logits ``[V]`` of any kind and device in float32."""
    scores: FloatArray = logits.float().cpu().numpy()
    return scores


def best_of(scores: FloatArray, most: int) -> list[int]:
    """The places of the `most` best scores ``[V]``, the best first; all places where there are fewer."""
    if most == 1:
        return [int(scores.argmax())]
    n_blocks = len(scores) // _BLOCK
    if n_blocks <= most:
        return _places(_sorted(scores)[:most])
    # The best stand in the blocks with the best maxima, or in what is left behind the last one.
    in_blocks = n_blocks * _BLOCK
    maxima = scores[:in_blocks].reshape(n_blocks, _BLOCK).max(axis=1)
    begins = maxima.argpartition(-most)[-most:] * _BLOCK
    places = np.concatenate([(begins[:, None] + _WITHIN).ravel(), np.arange(in_blocks, len(scores))])
    few = places.take(scores.take(places).argpartition(-most)[-most:])
    return _places(few.take(_sorted(scores.take(few))))


def _places(numbers: IntArray) -> list[int]:
    places: list[int] = numbers.tolist()
    return places


def _sorted(scores: FloatArray) -> IntArray:
    order: IntArray = (-scores).argsort(kind="stable")
    return order


def log_total(scores: FloatArray) -> float:
    """The logarithm of the sum of ``exp(scores)``."""
    best = float(scores.max())
    return best + math.log(float(np.exp(scores - np.float32(best)).sum()))


@dataclass(frozen=True, eq=False)
class Distribution:
    """`log_probs` and `probs`, ``[V]``."""

    log_probs: FloatArray
    probs: FloatArray

    @staticmethod
    def of(scores: FloatArray) -> Distribution:
        """The softmax of ``[V]``."""
        best = scores.max()
        probs = scores - best
        np.exp(probs, out=probs)
        total = probs.sum()
        probs /= total
        return Distribution(scores - (best + np.log(total)), probs)

    @property
    def entropy(self) -> float:
        """In nats; what is less likely than `LEAST_LOG_PROB` counts as if it were as likely."""
        return -float(self.probs @ np.maximum(self.log_probs, np.float32(LEAST_LOG_PROB)))

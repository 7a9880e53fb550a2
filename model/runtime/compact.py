"""The stack that decodes: which format its weights take, and the stack made of them.

Owns the choice and its trial; the formats are `model.runtime.int8` and `model.runtime.int4`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from enum import StrEnum

import torch

from model.runtime.attention import exact_attention
from model.runtime.int4 import int4_multiply, recovered
from model.runtime.int8 import Multiply, can_be_int8, int8_multiply, plain_multiply, rounded
from model.runtime.layers import Layer, Stack, plain_stack
from model.runtime.plan import LayerPlan, Matrix, Plan

TRIAL_BYTES = 2**25
"""Plain weights read in one round of the trial: more than a core's cache holds, as in a real model."""
TRIAL_ROUNDS = 8
OWN_LEVELS = 0.9
"""What the time of four bits counts: the file's own levels are worth a tenth of time, for eight bits
leave three times their error."""


log = logging.getLogger(__name__)


class Weights(StrEnum):
    """How the stack that decodes holds its weights.

    `PLAIN` shares the module's. `INT8` takes a byte a weight. `INT4` takes 0.625 bytes of a matrix
    that came from a four-bit file, one of what an adapter added, and one of any other matrix, the head
    among them.
    """

    PLAIN = "plain"
    INT8 = "int8"
    INT4 = "int4"


def decoding_stack(plan: Plan, weights: Weights) -> Stack:
    """The stack for few rows. Raises ValueError where a matrix does not take the format."""
    if weights is Weights.PLAIN:
        return plain_stack(plan)
    with torch.inference_mode():
        layers = tuple(_layer(layer, weights) for layer in plan.layers)
        head = int8_multiply(rounded(plan.head, plan.gain_out))
        attention = exact_attention(plan)
    return Stack(plan.without_changes(), attention, layers, None, head)


def _layer(layer: LayerPlan, weights: Weights) -> Layer:
    gain_in, qkv = _gained(layer.qkv, layer.gain_in, weights)
    gain_mid, gate_up = _gained(layer.gate_up, layer.gain_mid, weights)
    _, out = _gained(layer.out, None, weights)
    _, down = _gained(layer.down, None, weights)
    return Layer(gain_in, qkv, out, gain_mid, gate_up, down)


def _gained(
    matrix: Matrix, gain: torch.Tensor | None, weights: Weights
) -> tuple[torch.Tensor | None, Multiply]:
    """The compact matrix, and the gain still to be applied before it: integers of 8 bits take it in."""
    levels = recovered(matrix) if weights is Weights.INT4 else None
    if levels is not None:
        return gain, int4_multiply(levels)
    return None, int8_multiply(rounded(matrix, gain))


def fastest_weights(plan: Plan) -> Weights:
    """The format in which one row is multiplied fastest here, by a trial of some tens of ms.

    Processors' kernels differ more than the bytes do: without one of its own, a compact format can
    be many times slower. Each matrix counts with its fastest round, since other work on the machine
    disturbs nearly every round as a whole.
    """
    matrices = [
        matrix for layer in plan.layers for matrix in (layer.qkv, layer.out, layer.gate_up, layer.down)
    ]
    if not all(can_be_int8(matrix) for matrix in (*matrices, plan.head)):
        return Weights.PLAIN
    chosen = _up_to(matrices, TRIAL_BYTES)
    with torch.inference_mode():
        rows = [torch.full((1, matrix.weight.shape[1]), 0.5, dtype=plan.dtype) for matrix in chosen]
        kinds = {weights: made for weights in Weights if (made := _made(chosen, weights))}
        rounds = [{kind: _seconds(kinds[kind], rows) for kind in kinds} for _ in range(TRIAL_ROUNDS)]
    fastest = {
        kind: sum(map(min, zip(*(seconds[kind] for seconds in rounds), strict=True))) for kind in kinds
    }
    if Weights.INT4 in fastest:
        fastest[Weights.INT4] *= OWN_LEVELS
    log.debug("trial of the weights' formats, in seconds: %s", fastest)
    return min(fastest, key=lambda kind: fastest[kind])


def _made(matrices: Sequence[Matrix], weights: Weights) -> list[Multiply]:
    """The matrices in a format; none if that format is of no use to them."""
    if weights is Weights.PLAIN:
        return [plain_multiply(matrix) for matrix in matrices]
    if weights is Weights.INT8:
        return [int8_multiply(rounded(matrix)) for matrix in matrices]
    found = [recovered(matrix) for matrix in matrices]
    return [int4_multiply(levels) for levels in found if levels is not None] if all(found) else []


def _up_to(matrices: Sequence[Matrix], n_bytes: int) -> Sequence[Matrix]:
    total = 0
    for index, matrix in enumerate(matrices):
        total += matrix.weight.nbytes
        if total >= n_bytes:
            return matrices[: index + 1]
    return matrices


def _seconds(multiplies: Sequence[Multiply], rows: Sequence[torch.Tensor]) -> list[float]:
    """How long each took, one after the other, so that each finds its weights out of the caches."""
    seconds = []
    for multiply, row in zip(multiplies, rows, strict=True):
        began = time.perf_counter()
        multiply(row)
        seconds.append(time.perf_counter() - began)
    return seconds

"""The stack that decodes, and the one that reads prompts: which format their weights take.

Owns the choices and their trials; the formats are `model.runtime.kernel`, `model.runtime.half`,
`model.runtime.int8` and `model.runtime.int4`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

import torch

from model.multiples import UNFILLED, Filling
from model.runtime.attention import Attention, exact_attention
from model.runtime.half import FILLED, half_multiplies, keeps_bits
from model.runtime.int4 import int4_multiply, recovered
from model.runtime.int8 import Multiply, can_be_int8, int8_multiply, plain_multiply, rounded
from model.runtime.kernel.layers import takes
from model.runtime.kernel.matrices import kernel_multiply
from model.runtime.layers import Layer, Stack, plain_stack, stack_of
from model.runtime.plan import LayerPlan, Matrix, Plan

TRIAL_BYTES = 2**25
"""Plain weights read in one round of the trial: more than a core's cache holds, as in a real model."""
TRIAL_ROUNDS = 8
DRAFTED_ROWS = 4
"""Read at once in the trial, as often as one row is: most passes verify a draft."""
READING_ROWS, READING_ROUNDS = 64, 3
"""By which what reads prompts is chosen and timed."""
PLAIN_ROWS = Filling(multiple=16)
"""Of plain matrices, which on a CPU have a kernel for each number of rows."""
FEWER = (4, 8)
"""Rows that plain matrices may read besides those of `PLAIN_ROWS`."""
MOST_HALF_BYTES = 2**30
"""What matrices of sixteen bits may take; while they are packed the plain ones stand beside them."""


log = logging.getLogger(__name__)


class Weights(StrEnum):
    """How the stack that decodes holds its weights.

    `PLAIN` shares the module's. `KERNEL` takes 1.06 bytes a weight, and rows of 32 bits, of which a kernel of
    our own makes whole passes. `HALF` takes two bytes a weight, and rows of 32 bits. `INT8` takes a byte a
    weight. `INT4` takes 0.625 bytes of a matrix that came from a four-bit file, one of what an adapter added,
    and one of any other matrix, the head among them.
    """

    PLAIN = "plain"
    KERNEL = "kernel"
    HALF = "half"
    INT8 = "int8"
    INT4 = "int4"


NEARNESS = {Weights.INT4: 0.9, Weights.HALF: 0.9}
"""What their time counts: a file's own levels, and sixteen bits, are worth a tenth of time, for eight bits
leave three times their error."""


WHOLE_STACKS = frozenset({Weights.KERNEL, Weights.HALF})
"""Formats that multiply many rows, too, so that one stack may do for all."""


def decoding_stack(plan: Plan, weights: Weights) -> Stack:
    """The stack for few rows. Raises ValueError where a matrix, or this machine, does not take the format."""
    if weights is Weights.PLAIN:
        return plain_stack(plan)
    with torch.inference_mode():
        if weights is Weights.KERNEL:
            return _kernel(plan)
        layers, head, rows = _half(plan) if weights is Weights.HALF else _integers(plan, weights)
        attention = exact_attention(plan)
    return Stack(plan.without_changes(), attention, layers, None, head, rows)


def reading_stack(plan: Plan, decoding: Stack, weights: Weights) -> Stack:
    """The stack for many rows: the model's own matrices, or those of `decoding` where they are faster."""
    plain = replace(plain_stack(plan), rows=PLAIN_ROWS if plan.embedding.device.type == "cpu" else UNFILLED)
    if weights not in WHOLE_STACKS:
        return plain
    matrices = [layer.gate_up for layer in plan.layers]
    ours = [layer.gate_up for layer in decoding.layers]
    with torch.inference_mode():
        kinds = {Weights.PLAIN: [plain_multiply(matrix) for matrix in matrices], weights: ours}
        fastest = _fastest(kinds, _rows(matrices, READING_ROWS), READING_ROUNDS)
    log.debug("trial of the weights that read prompts, in seconds: %s", fastest)
    if fastest[Weights.PLAIN] < fastest[weights]:
        return plain
    return replace(decoding, attention=Attention.MASKED)


def rows_read_for(stack: Stack, n_rows: int) -> int:
    """The number of rows that is read for so many."""
    if stack.rows is PLAIN_ROWS and n_rows <= FEWER[-1]:
        return next(size for size in FEWER if n_rows <= size)
    return stack.rows.up(n_rows)


def _kernel(plan: Plan) -> Stack:
    if not takes(plan):
        raise ValueError("our own kernel does not take this model, or is not here; take another format")
    return stack_of(plan.without_changes(), Attention.APART, kernel_multiply)


def _half(plan: Plan) -> tuple[tuple[Layer, ...], Multiply, Filling]:
    """All layers and the head of sixteen bits, the gains in them; how rows are filled up."""
    if plan.dtype != torch.float32:
        raise ValueError(f"rows of {plan.dtype} are not multiplied by sixteen bits; take another format")
    matrices = [
        pair
        for layer in plan.layers
        for pair in (
            (layer.qkv, layer.gain_in),
            (layer.out, None),
            (layer.gate_up, layer.gain_mid),
            (layer.down, None),
        )
    ]
    *made, head = half_multiplies([*matrices, (plan.head, plan.gain_out)])
    layers = (
        Layer(None, qkv, out, None, gate_up, down)
        for qkv, out, gate_up, down in zip(*[iter(made)] * 4, strict=True)
    )
    return tuple(layers), head, FILLED


def _integers(plan: Plan, weights: Weights) -> tuple[tuple[Layer, ...], Multiply, Filling]:
    layers = tuple(_layer(layer, weights) for layer in plan.layers)
    return layers, int8_multiply(rounded(plan.head, plan.gain_out)), UNFILLED


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
    """The format in which one row, and a few at once, are multiplied fastest here, by a short trial.

    Processors' kernels differ more than the bytes do: without one of its own, a compact format can
    be many times slower. Each matrix counts with its fastest round, since other work on the machine
    disturbs nearly every round as a whole.
    """
    matrices = [matrix for layer in plan.layers for matrix in layer.matrices]
    chosen = _up_to(matrices, TRIAL_BYTES)
    with torch.inference_mode():
        kinds = {weights: made for weights in possible_weights(plan) if (made := _made(chosen, weights))}
        of_rows = [_fastest(kinds, _rows(chosen, n_rows), TRIAL_ROUNDS) for n_rows in (1, DRAFTED_ROWS)]
    counted = {kind: NEARNESS.get(kind, 1.0) * sum(seconds[kind] for seconds in of_rows) for kind in kinds}
    log.debug("trial of the weights' formats, in seconds: %s", counted)
    return min(counted, key=lambda kind: counted[kind])


def _rows(matrices: Sequence[Matrix], n_rows: int) -> list[torch.Tensor]:
    return [torch.full((n_rows, each.weight.shape[1]), 0.5, dtype=each.weight.dtype) for each in matrices]


def possible_weights(plan: Plan) -> list[Weights]:
    """Formats for which the model has the shapes, the numbers and the size."""
    matrices = [matrix for layer in plan.layers for matrix in layer.matrices]
    possible = [Weights.PLAIN]
    if takes(plan):
        possible.append(Weights.KERNEL)
    n_weights = sum(matrix.weight.numel() for matrix in (*matrices, plan.head))
    if plan.dtype == torch.float32 and 2 * n_weights <= MOST_HALF_BYTES:
        possible.append(Weights.HALF)
    if all(can_be_int8(matrix) for matrix in (*matrices, plan.head)):
        possible += [Weights.INT8, Weights.INT4]
    return possible


def _made(matrices: Sequence[Matrix], weights: Weights) -> list[Multiply]:
    """The matrices in a format; none if that format is of no use to them."""
    if weights is Weights.PLAIN:
        return [plain_multiply(matrix) for matrix in matrices]
    if weights is Weights.KERNEL:
        return [kernel_multiply(matrix) for matrix in matrices]
    if weights is Weights.HALF:
        return _made_half(matrices)
    if weights is Weights.INT8:
        return [int8_multiply(rounded(matrix)) for matrix in matrices]
    found = [recovered(matrix) for matrix in matrices]
    return [int4_multiply(levels) for levels in found if levels is not None] if all(found) else []


def _made_half(matrices: Sequence[Matrix]) -> list[Multiply]:
    try:
        made = half_multiplies([(matrix, None) for matrix in matrices])
    except ValueError as error:
        log.debug("no matrices of sixteen bits: %s", error)
        return []
    shapes = {matrix.weight.shape: place for place, matrix in enumerate(matrices)}
    exact = all(keeps_bits(made[place], shape[1]) for shape, place in shapes.items())
    return made if exact else []


def _up_to(matrices: Sequence[Matrix], n_bytes: int) -> Sequence[Matrix]:
    total = 0
    for index, matrix in enumerate(matrices):
        total += matrix.weight.nbytes
        if total >= n_bytes:
            return matrices[: index + 1]
    return matrices


def _fastest(
    kinds: Mapping[Weights, Sequence[Multiply]], rows: Sequence[torch.Tensor], n_rounds: int
) -> dict[Weights, float]:
    """Seconds of each kind, which take turns: each matrix's fastest round, in all."""
    rounds = [{kind: _seconds(kinds[kind], rows) for kind in kinds} for _ in range(n_rounds)]
    return {kind: sum(map(min, zip(*(seconds[kind] for seconds in rounds), strict=True))) for kind in kinds}


def _seconds(multiplies: Sequence[Multiply], rows: Sequence[torch.Tensor]) -> list[float]:
    """How long each took, one after the other, so that each finds its weights out of the caches."""
    seconds = []
    for multiply, some in zip(multiplies, rows, strict=True):
        began = time.perf_counter()
        multiply(some)
        seconds.append(time.perf_counter() - began)
    return seconds

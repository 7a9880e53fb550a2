"""Matrices that had sixteen levels a block before they were unpacked, and have them again.

A GGUF file of type Q4_1 keeps, for each 32 inputs of an output, a smallest value, a step and one
of sixteen levels for each weight. Loading unpacks it to 16 or 32 bits a weight, of which decoding
then reads every one for each token. Here the levels are found again, so nothing is lost besides
what bfloat16 loses of the smallest values and the steps. Owns finding and multiplying; matrices
that never had levels are left to `model.runtime.int8`, since rounding them to sixteen does harm. An
adapter that was merged in is taken out again and runs beside the levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model.low_rank import LowRank
from model.runtime.int8 import INT8_KERNEL, Int8Matrix, Multiply, can_be_int8, int8_multiply, rounded
from model.runtime.plan import Matrix

BLOCK = 32
INT4_KERNEL = torch.ops.aten._weight_int4pack_mm_for_cpu.default
HIGHEST = 15
OUTPUTS_MULTIPLE = 16
"""Torch's kernel takes so many outputs at a time."""
MOST_OFF = 0.15
"""How far, in steps, a weight may lie from its level. Unpacking to bfloat16 was seen to leave 0.04;
weights that never had levels lie up to 0.5 away in nearly every block."""
PROBED_OUTPUTS = 64
"""Looked at first, so that matrices without levels cost next to nothing."""


@dataclass(frozen=True)
class Int4Matrix:
    """Packed levels, and for each block and output a bfloat16 step and middle ``[blocks, outputs, 2]``.

    ``weight = (level - 8) * step + middle``. `bias` as given. `change`, what was merged in since, is `down`
    and `up` of eight bits, which run beside the levels: merged into them it would undo them.
    """

    packed: torch.Tensor
    steps: torch.Tensor
    bias: torch.Tensor | None = None
    change: tuple[Int8Matrix, Int8Matrix] | None = None


def recovered(matrix: Matrix) -> Int4Matrix | None:
    """The levels of `matrix`, or None if its blocks do not have them all or its shape does not fit."""
    n_outputs, n_inputs = matrix.weight.shape
    if n_inputs % BLOCK or n_outputs % OUTPUTS_MULTIPLE or not _can_run_beside(matrix.change):
        return None
    if _levels(_before_change(matrix, PROBED_OUTPUTS)) is None:
        return None
    found = _levels(_before_change(matrix, n_outputs))
    if found is None:
        return None
    levels, smallest, step = found
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels.view(n_outputs, n_inputs), 1)
    steps = torch.stack([step, smallest + 8 * step], dim=-1).transpose(0, 1)
    return Int4Matrix(packed, steps.to(torch.bfloat16).contiguous(), matrix.bias, _compact(matrix.change))


def _can_run_beside(change: LowRank | None) -> bool:
    return change is None or (can_be_int8(Matrix(change.down)) and can_be_int8(Matrix(change.up)))


def _compact(change: LowRank | None) -> tuple[Int8Matrix, Int8Matrix] | None:
    return None if change is None else (rounded(Matrix(change.down)), rounded(Matrix(change.up)))


def _before_change(matrix: Matrix, n_outputs: int) -> torch.Tensor:
    """The first outputs of `matrix` without what was merged in, float32."""
    weight = matrix.weight[:n_outputs].float()
    if matrix.change is None:
        return weight
    return weight - LowRank(matrix.change.down, matrix.change.up[:n_outputs]).whole().to(weight.device)


def _levels(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """Levels ``[outputs, blocks, BLOCK]`` (int32), smallest values and steps ``[outputs, blocks]``."""
    blocks = weight.float().view(weight.shape[0], -1, BLOCK)
    smallest, largest = blocks.aminmax(dim=-1, keepdim=True)
    step = (largest - smallest) / HIGHEST
    places = (blocks - smallest) / torch.where(step > 0, step, torch.ones_like(step))
    levels = places.round()
    if places.sub_(levels).abs_().max() > MOST_OFF:
        return None
    return (levels.to(torch.int32), *_line_through(levels, blocks))


def _line_through(levels: torch.Tensor, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Value at level 0 and step of each block by least squares: rounding moved every weight, the ends too."""
    level, weight = levels.mean(-1, keepdim=True), blocks.mean(-1, keepdim=True)
    spread = (levels - level).square_().sum(-1, keepdim=True)
    step = ((levels - level) * (blocks - weight)).sum(-1, keepdim=True) / spread.clamp_min(1e-9)
    return (weight - step * level).squeeze(-1), step.squeeze(-1)


def int4_multiply(matrix: Int4Matrix) -> Multiply:
    """Multiplies rows of any number type, in bfloat16."""
    bias = () if matrix.bias is None else (matrix.bias,)
    if matrix.change is None:
        return Multiply(_times_int4, (matrix.packed, matrix.steps, *bias))
    down, up = (int8_multiply(side).tensors for side in matrix.change)
    return Multiply(_times_int4_changed, (matrix.packed, matrix.steps, *down, *up, *bias))


def _times_int4(
    rows: torch.Tensor, packed: torch.Tensor, steps: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    product: torch.Tensor = INT4_KERNEL(rows.bfloat16(), packed, BLOCK, steps).to(rows.dtype)
    return product if bias is None else product.add_(bias)


def _times_int4_changed(
    rows: torch.Tensor,
    packed: torch.Tensor,
    steps: torch.Tensor,
    down: torch.Tensor,
    down_scales: torch.Tensor,
    up: torch.Tensor,
    up_scales: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    short = rows.bfloat16()
    change = INT8_KERNEL(INT8_KERNEL(short, down, down_scales), up, up_scales)
    product: torch.Tensor = INT4_KERNEL(short, packed, BLOCK, steps).add_(change).to(rows.dtype)
    return product if bias is None else product.add_(bias)

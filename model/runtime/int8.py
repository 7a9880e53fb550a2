"""Matrices of eight-bit integers, for the few rows that decoding multiplies.

Owns rounding a matrix, one scale for each output, and multiplying by it. Decoding reads every
weight for each token, so the bytes of the weights are its time. Activations stay in bfloat16, as
in the plain model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from model.runtime.plan import Matrix


@dataclass(frozen=True)
class Multiply:
    """Rows ``[R, inputs]`` to ``[R, outputs]``, in one number type: `function` of the rows and `tensors`.

    Kept apart, so that a recorded pass serves all that share a function (`model.runtime.recorded_layers`).
    """

    function: Callable[..., torch.Tensor]
    tensors: tuple[torch.Tensor, ...]

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return self.function(rows, *self.tensors)


LARGEST = 127
INT8_KERNEL = torch.ops.aten._weight_int8pack_mm.default
INPUTS_MULTIPLE = 32
"""Torch's kernel reads its inputs in blocks of up to so many; one cut short reads outside its memory."""


@dataclass(frozen=True)
class Int8Matrix:
    """``weight[o, i] = numbers[o, i] * scales[o]``, nearly. `scales` are bfloat16, `bias` as given."""

    numbers: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor | None = None


def can_be_int8(matrix: Matrix) -> bool:
    """Whether the kernel takes a matrix of this shape."""
    return matrix.weight.shape[1] % INPUTS_MULTIPLE == 0


def rounded(matrix: Matrix, gain: torch.Tensor | None = None) -> Int8Matrix:
    """`matrix`, of inputs multiplied by `gain` ``[inputs]``, with an error below 0.51 scales an entry.

    The scale is rounded to bfloat16 before the numbers are, so that it adds no error of its own.
    Raises ValueError for a shape that the kernel does not take.
    """
    if not can_be_int8(matrix):
        raise ValueError(
            f"a matrix of {matrix.weight.shape[1]} inputs, not a multiple of {INPUTS_MULTIPLE}; keep it plain"
        )
    weight = matrix.weight.float()
    if gain is not None:
        weight = weight * gain
    smallest = torch.finfo(torch.bfloat16).tiny
    scales = (weight.abs().amax(1) / LARGEST).clamp_min(smallest).to(torch.bfloat16)
    numbers = (weight / scales.float().unsqueeze(1)).round_().clamp_(-LARGEST, LARGEST)
    return Int8Matrix(numbers.to(torch.int8), scales, matrix.bias)


def int8_multiply(matrix: Int8Matrix) -> Multiply:
    """Multiplies rows of any number type, in bfloat16."""
    bias = () if matrix.bias is None else (matrix.bias,)
    return Multiply(_times_int8, (matrix.numbers, matrix.scales, *bias))


def _times_int8(
    rows: torch.Tensor, numbers: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    product: torch.Tensor = INT8_KERNEL(rows.bfloat16(), numbers, scales).to(rows.dtype)
    return product if bias is None else product.add_(bias)


def plain_multiply(matrix: Matrix) -> Multiply:
    """Multiplies rows of the matrix's own type."""
    bias = () if matrix.bias is None else (matrix.bias,)
    return Multiply(torch.nn.functional.linear, (matrix.weight, *bias))

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

Multiply = Callable[[torch.Tensor], torch.Tensor]
"""Rows ``[R, inputs]`` to ``[R, outputs]``, in one number type."""

LARGEST = 127
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


def int8_multiply(matrix: Int8Matrix, dtype: torch.dtype) -> Multiply:
    """Multiplies rows of `dtype`."""
    numbers, scales, bias = matrix.numbers, matrix.scales, matrix.bias
    kernel = torch.ops.aten._weight_int8pack_mm.default

    def in_bfloat16(rows: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = kernel(rows, numbers, scales)
        return product if bias is None else product.add_(bias)

    def converting(rows: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = kernel(rows.bfloat16(), numbers, scales).to(dtype)
        return product if bias is None else product.add_(bias)

    return in_bfloat16 if dtype is torch.bfloat16 else converting


def plain_multiply(matrix: Matrix) -> Multiply:
    """Multiplies rows of the matrix's own type."""
    weight, bias = matrix.weight, matrix.bias
    linear = torch.nn.functional.linear

    def multiply(rows: torch.Tensor) -> torch.Tensor:
        return linear(rows, weight, bias)

    return multiply

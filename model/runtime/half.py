"""Matrices of sixteen-bit numbers for rows of 32, on processors that do not compute in bfloat16.

Owns packing them and multiplying by them, for as many rows as there are. FBGEMM, a part of torch for x86,
widens the numbers on the way: half of the bytes are read, and nothing is rounded but the weights, to eleven
bits. It cuts the rows into blocks, and sums for one or two rows in another order than for three to six; with
four, six and eight there are none of those, so up to eight rows keep their bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import starmap

import torch
from torch import nn

from model.multiples import Filling
from model.runtime.int8 import Multiply
from model.runtime.plan import Matrix
from model.runtime.row_costs import MOST_ROWS

LARGEST = torch.finfo(torch.float16).max
FILLED = Filling(multiple=2, least=4)
"""Numbers of rows, up to `MOST_ROWS`, that are cut into blocks of three and more."""


class _Packed(nn.Module):
    """All matrices of a stack, which torch can record the use of as it can that of no single packed one."""

    def __init__(self, packed: Sequence[torch.ScriptObject]) -> None:
        super().__init__()
        self.packed = list(packed)
        self.multiple, self.least = FILLED

    def forward(self, rows: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        packed, n_rows = self.packed[int(which)], rows.size(0)
        n_filled = max(self.least, (n_rows + self.multiple - 1) // self.multiple * self.multiple)
        if n_filled > n_rows:
            rows = torch.nn.functional.pad(rows, [0, 0, 0, n_filled - n_rows])
        product: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(rows, packed)
        return product[:n_rows]


def half_multiplies(matrices: Sequence[tuple[Matrix, torch.Tensor | None]]) -> list[Multiply]:
    """Multiplies float32 rows by each matrix, of inputs multiplied by its gain ``[inputs]`` if there is one.

    Raises ValueError where numbers are too large, or this torch has no kernels for this processor.
    """
    packed = _Packed(list(starmap(_packed, matrices)))
    with warnings.catch_warnings():
        # As in `model.runtime.recorded_layers`: compilers are offered instead, which users do not have.
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(packed)
    return [Multiply(scripted, (torch.tensor(number),)) for number in range(len(matrices))]


def _packed(matrix: Matrix, gain: torch.Tensor | None) -> torch.ScriptObject:
    weight = matrix.weight.float()
    if gain is not None:
        weight = weight * gain
    if not weight.abs().max() <= LARGEST:
        raise ValueError(f"a matrix has numbers above {LARGEST:.0f}; keep it plain")
    bias = None if matrix.bias is None else matrix.bias.float()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers too small for it, which become zero
            packed: torch.ScriptObject = torch.ops.quantized.linear_prepack_fp16(weight, bias)
    except (RuntimeError, AttributeError) as error:
        raise ValueError(f"this torch has no matrices of sixteen bits for this processor: {error}") from error
    return packed


def keeps_bits(multiply: Multiply, n_inputs: int) -> bool:
    """Whether rows come out the same to the last bit alone and beside others, here."""
    rows = torch.randn(MOST_ROWS, n_inputs, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([multiply(row) for row in torch.split(rows, 1)])
    return all(torch.equal(multiply(rows[:n]), alone[:n]) for n in range(2, MOST_ROWS + 1))

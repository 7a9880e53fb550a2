"""Matrices of eight-bit integers, each 32 inputs of an output with a scale of their own, and their products.

Owns rounding and packing them for `passes.c`, and the multiplication by one of them, in float32.
"""

from __future__ import annotations

import ctypes
from functools import partial

import torch
from torch.nn.functional import pad

from model.runtime.int8 import LARGEST, Multiply
from model.runtime.kernel import library as kernel
from model.runtime.plan import Matrix

PANEL, GROUP = 16, 32
SCALE_BYTES = 2 * PANEL
SMALLEST = 2.0**-24
"""Of half precision above zero."""


def can_be_packed(matrix: Matrix) -> bool:
    """Whether the kernel takes a matrix of so many inputs and these numbers."""
    return matrix.weight.shape[1] % GROUP == 0 and matrix.weight.dtype == torch.float32


def packed(weight: torch.Tensor) -> torch.Tensor:
    """Bytes ``[outputs / PANEL, inputs / GROUP, scales and weights]``, in the order in which they are read.

    An entry is off by at most 0.51 scales, and a file's own eight-bit blocks (Q8_0) come out as they were.
    Outputs are filled up with zeros.
    """
    n_panels, n_groups = -(-weight.shape[0] // PANEL), weight.shape[1] // GROUP
    filled = pad(weight, (0, 0, 0, n_panels * PANEL - weight.shape[0]))
    groups = filled.view(n_panels, PANEL, n_groups, GROUP)
    scales = (groups.abs().amax(-1) / LARGEST).clamp_min(SMALLEST).half()
    numbers = (groups / scales.float().unsqueeze(-1)).round_().clamp_(-LARGEST, LARGEST).to(torch.int8)
    parts = scales.transpose(1, 2).contiguous(), numbers.permute(0, 2, 3, 1).contiguous()
    return torch.cat([part.view(torch.uint8).view(n_panels, n_groups, -1) for part in parts], -1)


def struct_of(blocks: torch.Tensor, bias: torch.Tensor | None) -> kernel.Matrix:
    """`packed` as C sees it; the tensors must outlive it."""
    n_panels, n_groups, _ = blocks.shape
    return kernel.Matrix(
        n_panels * PANEL, n_groups * GROUP, blocks.data_ptr(), None if bias is None else bias.data_ptr()
    )


def kernel_multiply(matrix: Matrix) -> Multiply:
    """Multiplies float32 rows. Raises ValueError where there is no kernel, or not for this matrix."""
    if kernel.library() is None:
        raise ValueError("there is no kernel on this machine; take another format")
    if not can_be_packed(matrix):
        raise ValueError(
            f"a matrix of {matrix.weight.shape[1]} inputs, not a multiple of {GROUP}, or of "
            f"{matrix.weight.dtype}, not torch.float32; take another format"
        )
    n_outputs = len(matrix.weight)
    blocks = packed(matrix.weight)
    bias = () if matrix.bias is None else (pad(matrix.bias.float(), (0, len(blocks) * PANEL - n_outputs)),)
    return Multiply(partial(_times_packed, n_outputs), (blocks, *bias))


def _times_packed(
    n_outputs: int, rows: torch.Tensor, blocks: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    functions = kernel.library()
    assert functions is not None, "whoever packed a matrix had it"
    rows = rows.contiguous()
    out = rows.new_empty(*rows.shape[:-1], blocks.shape[0] * PANEL)
    functions.hef_multiply(
        ctypes.byref(struct_of(blocks, bias)),
        rows.data_ptr(),
        rows.numel() // rows.shape[-1],
        out.data_ptr(),
        torch.get_num_threads(),
    )
    return out[..., :n_outputs]

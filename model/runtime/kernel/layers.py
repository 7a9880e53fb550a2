"""Whole passes by the kernel: what `run_layers` of `model.runtime.layers` does, in one call of C.

Owns what C is told of the model and of each pass. While it runs, other threads of Python do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch

from model.runtime.int8 import Multiply
from model.runtime.kernel import library as kernel
from model.runtime.kernel.matrices import GROUP, PANEL, can_be_packed, struct_of
from model.runtime.layers import Stack
from model.runtime.plan import Plan
from model.runtime.static_cache import StaticCache


def takes(plan: Plan) -> bool:
    """Whether the kernel can run a model of these sizes and numbers."""
    matrices = [matrix for layer in plan.layers for matrix in layer.matrices]
    return (
        plan.embedding.device.type == "cpu"
        and plan.head_size % (2 * PANEL) == 0
        and all(len(matrix.weight) % PANEL == 0 for matrix in matrices)
        and all(can_be_packed(matrix) for matrix in (*matrices, plan.head))
        and kernel.library() is not None
    )


class KernelLayers:
    """The layers of a stack of `kernel_multiply`'s matrices.

    A row comes out the same to the last bit whatever is read beside it, however many rows there are.
    """

    def __init__(self, stack: Stack) -> None:
        functions = kernel.library()
        assert functions is not None, "whoever packed a matrix had it"
        self._functions = functions
        self._layers = stack.layers  # whose memory C reads
        self._structs = (kernel.Layer * len(stack.layers))(
            *(
                kernel.Layer(
                    *(None if gain is None else gain.data_ptr() for gain in (layer.gain_in, layer.gain_mid)),
                    *map(_struct, layer.multiplies),
                )
                for layer in stack.layers
            )
        )
        plan = stack.plan
        self._inner_size = _n_inputs(stack.layers[0].down)
        self._model = kernel.Model(
            len(stack.layers),
            plan.n_heads,
            plan.n_kv_heads,
            plan.head_size,
            plan.hidden_size,
            self._inner_size,
            float(plan.floor),
            self._structs,
        )

    def run(self, rows: torch.Tensor, cache: StaticCache, begin: int) -> torch.Tensor:
        """Reads the residual rows ``[R, H]``, float32, in place, as the positions from `begin` on.

        Their keys and values are written to `cache`, which has them ready (`StaticCache.readied`).
        """
        n_rows, model = rows.shape[0], self._model
        data, cos, sin = cache.whole
        heads, seen = rows.new_empty(2, n_rows, model.n_heads * model.head_size).unbind(0)
        inner = rows.new_empty(n_rows, self._inner_size)
        starts = _starts(cache.starts)
        told = kernel.Pass(
            model=ctypes.pointer(model),
            n_rows=n_rows,
            begin=begin,
            rows=rows.data_ptr(),
            cache=data.data_ptr(),
            hidden=None if cache.hidden is None else cache.hidden.data_ptr(),
            starts=None if starts is None else ctypes.addressof(starts),
            cos=cos.data_ptr(),
            sin=sin.data_ptr(),
            capacity=cache.capacity,
            heads=heads.data_ptr(),
            seen=seen.data_ptr(),
            inner=inner.data_ptr(),
        )
        n_threads = torch.get_num_threads()
        told.n_scratch = self._functions.hef_scratch(ctypes.byref(told))
        scratch = rows.new_empty(n_threads, told.n_scratch)
        told.scratch = scratch.data_ptr()
        self._functions.hef_run_layers(ctypes.byref(told), n_threads)
        return rows


def _struct(multiply: Multiply) -> kernel.Matrix:
    blocks, *bias = multiply.tensors
    return struct_of(blocks, bias[0] if bias else None)


def _n_inputs(multiply: Multiply) -> int:
    return multiply.tensors[0].shape[1] * GROUP


def _starts(starts: Sequence[int]) -> ctypes.Array[ctypes.c_int64] | None:
    return (ctypes.c_int64 * len(starts))(*starts) if starts else None

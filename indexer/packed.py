"""Vectors as bytes. Short ones as float16; long ones in eight bits a number, one scale for each block.

Owns both formats. They are told apart by their length alone: float16 has an even number of bytes, eight
bits an odd one. Pure numpy.
"""

from __future__ import annotations

import numpy as np

from model.protocols import VECTOR_BLOCK, FloatArray

LONG = 4096
"""Numbers from which a vector is long. Sixteen slots are 186,000: 190 KB instead of 370."""
_LARGEST = 127
_END = b"\1"
"""Makes the length odd."""


def packed_size(n_numbers: int) -> int:
    """Bytes of a packed vector of so many numbers."""
    if n_numbers < LONG or n_numbers % VECTOR_BLOCK:
        return 2 * n_numbers
    return n_numbers // VECTOR_BLOCK * (VECTOR_BLOCK + 2) + len(_END)


def packed(vector: FloatArray) -> bytes:
    """A vector, flattened. The error of a long one is below 0.4 % of its block's largest number."""
    flat = np.ascontiguousarray(vector, dtype=np.float32).reshape(-1)
    if packed_size(flat.size) == 2 * flat.size:
        return bytes(flat.astype(np.float16).tobytes())
    blocks = flat.reshape(-1, VECTOR_BLOCK)
    scales = (np.abs(blocks).max(axis=1) / _LARGEST).astype(np.float16)
    divisors = np.where(scales > 0, scales, 1).astype(np.float32)
    numbers = np.clip(np.rint(blocks / divisors[:, None]), -_LARGEST, _LARGEST).astype(np.int8)
    return bytes(scales.tobytes() + numbers.tobytes() + _END)


def unpacked(data: bytes) -> FloatArray:
    """The flat vector, float32. Raises ValueError for bytes of another making."""
    if len(data) % 2 == 0:
        return np.frombuffer(data, dtype=np.float16).astype(np.float32)
    n_blocks, rest = divmod(len(data) - len(_END), VECTOR_BLOCK + 2)
    if rest:
        raise ValueError(f"{len(data)} bytes are no packed vector")
    scales = np.frombuffer(data, dtype=np.float16, count=n_blocks).astype(np.float32)
    numbers = np.frombuffer(data, dtype=np.int8, count=n_blocks * VECTOR_BLOCK, offset=2 * n_blocks)
    result: FloatArray = (numbers.reshape(-1, VECTOR_BLOCK) * scales[:, None]).reshape(-1)
    return result

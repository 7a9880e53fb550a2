"""Vectors to bytes and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.packed import LONG, packed, unpacked
from model.protocols import VECTOR_BLOCK as BLOCK


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_short_vectors_are_half_precision(size: int, seed: int) -> None:
    vector = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    assert np.array_equal(unpacked(packed(vector)), vector.astype(np.float16).astype(np.float32))


@given(st.integers(LONG // BLOCK, LONG // BLOCK + 8), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_long_vectors_keep_each_number_within_half_a_step(n_blocks: int, seed: int, size: float) -> None:
    vector = (np.random.default_rng(seed).standard_normal((n_blocks, BLOCK)) * size).astype(np.float32)
    data = packed(vector.reshape(2, -1) if n_blocks % 2 == 0 else vector)
    steps = np.abs(vector).max(axis=1, keepdims=True) / 127
    found = unpacked(data).reshape(vector.shape)
    assert len(data) == n_blocks * (BLOCK + 2) + 1
    assert (np.abs(found - vector) <= 0.57 * steps).all()  # half a step, and the rounding of the scale


def test_zeros_stay_zeros() -> None:
    vector = np.zeros(LONG, np.float32)
    vector[-1] = 3.0
    found = unpacked(packed(vector))
    assert np.array_equal(np.flatnonzero(found), [LONG - 1])


def test_a_long_vector_without_whole_blocks_is_half_precision() -> None:
    vector = np.ones(LONG + 1, np.float32)
    assert len(packed(vector)) == 2 * vector.size


def test_bytes_cut_short_are_refused() -> None:
    with pytest.raises(ValueError, match="no packed vector"):
        unpacked(packed(np.ones(LONG, np.float32))[:-2])

"""Rows at length one, so that a dot product is a cosine. Pure numpy."""

from __future__ import annotations

import numpy as np

from model.protocols import FloatArray


def unit_rows(rows: FloatArray) -> FloatArray:
    """`rows` at length one; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit

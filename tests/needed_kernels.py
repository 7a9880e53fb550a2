"""Tests that need kernels which not every processor and torch have."""

import pytest
import torch

from model.runtime.half import half_multiplies
from model.runtime.kernel.library import library
from model.runtime.plan import Matrix


def _has_half() -> bool:
    try:
        half_multiplies([(Matrix(torch.ones(16, 32)), None)])
    except ValueError:
        return False
    return True


HAS_HALF = _has_half()
half_bits = pytest.mark.skipif(not HAS_HALF, reason="no matrices of sixteen bits on this processor")
HAS_KERNEL = library() is not None
own_kernel = pytest.mark.skipif(not HAS_KERNEL, reason="the kernel of our own cannot be built here")

"""Pairs of key and value between a cache, where keys are turned to positions, and where they have none.

Owns the turning back and forth of whole stretches; pairs of single heads are `model.slots`'.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.runtime.static_cache import StaticCache
from model.slots.layout import turned_keys


def lifted(cache: StaticCache, begin: int, end: int) -> Tensor:
    """The pairs at ``[begin, end)``, keys first and without position, ``[L, 2 G, n, S]``, float32."""
    data, cos, sin = cache.whole
    keys, values = data[:, :, begin:end].float().chunk(2, dim=1)
    return torch.cat([turned_keys(keys, cos[begin:end, 0], -sin[begin:end, 0]), values], dim=1)


def laid(cache: StaticCache, begin: int, pairs: Tensor) -> None:
    """Pairs such as `lifted` gives stand from `begin` on, and all heads see them."""
    end = begin + pairs.shape[2]
    cache.reserve(end, begin)
    cache.show(begin, end)
    data, cos, sin = cache.whole
    keys, values = pairs.float().chunk(2, dim=1)
    turned = turned_keys(keys, cos[begin:end, 0], sin[begin:end, 0])
    data[:, :, begin:end] = torch.cat([turned, values], dim=1).to(data.dtype)

"""Pairs of key and value between a cache, where keys are turned to positions, and where they have none.

Owns the turning back and forth of whole stretches; pairs of single heads are `model.slots`'.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.runtime.pairs import Pairs
from model.runtime.static_cache import StaticCache
from model.slots.layout import turned_keys


def lifted(cache: StaticCache, begin: int, end: int) -> Tensor:
    """The pairs at ``[begin, end)``, keys first and without position, ``[L, 2 G, n, S]``, float32."""
    data, cos, sin = cache.whole
    keys, values = data[:, :, begin:end].float().chunk(2, dim=1)
    return torch.cat([turned_keys(keys, cos[begin:end, 0], -sin[begin:end, 0]), values], dim=1)


def laid(cache: StaticCache, begin: int, parts: Sequence[Pairs]) -> None:
    """Pairs such as `lifted` gives stand from `begin` on, part after part, and all heads see them.

    Part by part, as memory that is taken for a whole window anew costs more than the turning.
    """
    end = begin + sum(map(len, parts))
    cache.reserve(end, begin)
    cache.show(begin, end)
    data, cos, sin = cache.whole
    for part in parts:
        end = begin + len(part)
        keys, values = part.whole().chunk(2, dim=1)
        n_keys = keys.shape[1]
        data[:, :n_keys, begin:end] = turned_keys(keys, cos[begin:end, 0], sin[begin:end, 0])
        data[:, n_keys:, begin:end] = values
        begin = end

"""Texts that are read beside the generator's own cache, behind an introduction that is read once.

Owns the passes over them and the cache that they take. For the inference lane's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import pad

from model.protocols import CancelSignal, Interrupted
from model.runtime.layers import BeforeLayer, Stack, embedded, run_layers
from model.runtime.static_cache import StaticCache


class Beside:
    """`cache` holds the introduction from its beginning on, once `begin` was asked for."""

    def __init__(self, stack: Stack, introduction: Sequence[int], first_capacity: int) -> None:
        """`introduction` are token ids."""
        self._stack, self._introduction = stack, list(introduction)
        self.cache = StaticCache(stack.plan, first_capacity)
        self._is_introduced = False

    def begin(self, before: BeforeLayer | None = None) -> int:
        """Where texts begin; `before` is that of `run_layers`, as in `read`."""
        if not self._is_introduced:
            self.read(self._introduction, 0, before)
            self._is_introduced = True
        return len(self._introduction)

    def read(self, token_ids: Sequence[int], begin: int, before: BeforeLayer | None = None) -> None:
        """Their pairs stand in the cache from `begin` on."""
        rows = self.rows(token_ids)
        run_layers(self._stack, rows, self.cache.slots(begin, begin + len(rows)), before)

    def rows(self, token_ids: Sequence[int]) -> Tensor:
        """Filled up at the end, where none sees it: each number of rows would need kernels of its own."""
        n_more = self._stack.rows.up(len(token_ids)) - len(token_ids)
        return pad(embedded(self._stack.plan, token_ids), (0, 0, 0, n_more))


def stop_if(cancel: CancelSignal) -> None:
    """Raises `Interrupted` once `cancel` is set."""
    if cancel.cancelled:
        raise Interrupted("somebody waits for an answer")

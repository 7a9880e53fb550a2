"""Steps of a fixed shape, for devices where launching small operations costs more than they do.

Owns a forward pass whose tensors never change size: the cache is looked at whole, under a mask, and the
places come in a tensor. So a GPU can record it once as a graph and play it again for each token; what
records is handed in, and on the CPU, where the tests run, nothing is recorded and the same pass runs as it
is. It reads and writes the cache of `model.runtime.static_cache`, whose slots past those in use must be
finite here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from torch.nn.functional import scaled_dot_product_attention, silu

from model.runtime.attention import grouped, ungrouped
from model.runtime.layers import Stack, logits_of, normed, queries_of
from model.runtime.static_cache import StaticCache

log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8)
"""Rows of a step; others are filled up, and the surplus rows thrown away."""
WARM_UPS = 3
"""Runs before recording: libraries choose kernels and take memory at their first calls."""

Pass = Callable[[], torch.Tensor]
"""Reads its inputs from fixed tensors and gives logits ``[R, V]``, the same tensor each time if recorded."""
Recorder = Callable[[Pass], Pass]


@dataclass(frozen=True, eq=False)
class _Step:
    """One size: the inputs ``[R]`` that the pass reads, and the pass."""

    ids: torch.Tensor
    places: torch.Tensor
    run: Pass


class FixedSteps:
    """Recorded passes by size. Invariant: all belong to the cache's present memory."""

    def __init__(self, stack: Stack, cache: StaticCache, record: Recorder | None = None) -> None:
        """`record` is `record_cuda_graph`, or None to run as it is."""
        self._stack, self._cache = stack, cache
        self._record = record
        self._steps: dict[int, _Step] = {}
        self._memory = -1

    @staticmethod
    def take(n_rows: int) -> bool:
        """Whether so many rows are a step."""
        return 0 < n_rows <= SIZES[-1]

    def logits(self, token_ids: Sequence[int], begin: int) -> torch.Tensor:
        """Reads tokens at the positions from `begin` on: logits ``[n, V]`` after each."""
        size = next(size for size in SIZES if size >= len(token_ids))
        self._cache.reserve(begin + size, begin)
        self._cache.show(begin, begin + size)
        if self._cache.memory_id != self._memory:
            self._steps.clear()
            self._memory = self._cache.memory_id
        step = self._steps.get(size) or self._made(size)
        device = step.ids.device
        filled = [*token_ids, *[token_ids[-1]] * (size - len(token_ids))]
        step.ids.copy_(torch.tensor(filled, device=device))
        step.places.copy_(torch.arange(begin, begin + size, device=device))
        return step.run()[: len(token_ids)].clone()

    def _made(self, size: int) -> _Step:
        device = self._stack.plan.embedding.device
        ids = torch.zeros(size, dtype=torch.long, device=device)
        # While it is recorded the pass writes to these places: past all that is in use.
        places = torch.arange(self._cache.capacity - size, self._cache.capacity, device=device)

        def run() -> torch.Tensor:
            return _forward(self._stack, self._cache, ids, places)

        self._steps[size] = _Step(ids, places, run if self._record is None else self._record(run))
        return self._steps[size]


def _forward(stack: Stack, cache: StaticCache, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    plan, (data, cos, sin) = stack.plan, cache.whole
    rows = plan.embedding[ids].float()
    n_rows, n_kv, size = len(rows), plan.n_kv_heads, plan.head_size
    seen = torch.arange(data.shape[2], device=data.device)[None] <= places[:, None]
    mask = seen.repeat(plan.n_heads // n_kv, 1)
    cos, sin = cos[places], sin[places]
    hidden = repeat(None, len(data)) if cache.hidden is None else cache.hidden
    for layer, slots, unseen in zip(stack.layers, data, hidden, strict=True):
        heads = layer.qkv(normed(rows, layer.gain_in, plan)).view(n_rows, -1, size)
        turned = heads[:, : plan.n_heads + n_kv]
        turned.copy_(turned * cos + turned.roll(size // 2, -1) * sin)
        slots.index_copy_(1, places, heads[:, plan.n_heads :].transpose(0, 1))
        queries = grouped(queries_of(plan, heads, n_rows)).unsqueeze(0)
        shown = mask if unseen is None else (mask & (unseen == 0).unsqueeze(1)).unsqueeze(0)
        found = scaled_dot_product_attention(queries, slots[None, :n_kv], slots[None, n_kv:], attn_mask=shown)
        rows = rows + layer.out(ungrouped(found[0], n_rows))
        gate, up = layer.gate_up(normed(rows, layer.gain_mid, plan)).chunk(2, -1)
        rows = rows + layer.down(silu(gate) * up)
    return logits_of(stack, rows)


def record_cuda_graph(run: Pass) -> Pass:
    """Records a pass on the current CUDA device; where that fails it runs as it is, and the log says so."""
    try:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), torch.inference_mode():
            for _ in range(WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph), torch.inference_mode():
            logits = run()
    except RuntimeError as error:
        log.warning("steps are not recorded as a graph, each runs by itself: %s", error)
        return run

    def play() -> torch.Tensor:
        graph.replay()
        return logits

    return play

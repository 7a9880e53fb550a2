"""Slots that were taken over: what stands before them moves up to them, and nothing that is said changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from test_runtime_attention import model_with
from test_runtime_compact import model_of_levels, tokens

from model.decoding import Inputs
from model.runtime import static_cache
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.fixed_steps import FixedSteps
from model.slot_pairs import SlotPairs
from model.slots.layout import SlotLayout
from tests.needed_kernels import HAS_KERNEL

BEFORE, AFTER = (tuple(token % 300 for token in tokens(n)) for n in (5, 40))  # as small as vocabularies are
N_SLOTS = 60
NEAR = {"atol": 0.06, "rtol": 0.02}
"""What eight bits and bfloat16 leave where other numbers of rows are read at once."""
Make = Callable[[], FastRuntime]


def with_fixed_steps() -> FastRuntime:
    runtime = FastRuntime(model_of_levels(), Weights.PLAIN)
    runtime.fixed = FixedSteps(runtime._few, runtime._cache)
    return runtime


RUNTIMES: dict[str, Make] = {
    "plain": lambda: FastRuntime(model_of_levels(), Weights.PLAIN),
    "eight bits, recorded": lambda: FastRuntime(model_of_levels(), Weights.INT8),
    "by products": lambda: FastRuntime(model_with(9, 3, 64), Weights.INT8),
    "by products, float32": lambda: FastRuntime(model_with(9, 3, 64, torch.float32), Weights.INT8),
    "fixed steps": with_fixed_steps,
}
if HAS_KERNEL:
    RUNTIMES["our own kernel"] = lambda: FastRuntime(model_with(9, 3, 64, torch.float32), Weights.KERNEL)


def pairs_of(layout: SlotLayout, seed: int = 0, n_slots: int = N_SLOTS) -> SlotPairs:
    """Layers have their pairs from other slots on, the first from the first one, the last none."""
    source = torch.Generator().manual_seed(seed)
    counts = torch.zeros((layout.n_layers, layout.n_kv_heads), dtype=torch.long)
    for layer in range(layout.n_layers):
        most = n_slots - layer * n_slots // (layout.n_layers - 1)
        counts[layer] = torch.randint(0, most + 1, (layout.n_kv_heads,), generator=source)
        counts[layer, 0] = most
    heads = torch.arange(layout.n_heads).repeat_interleave(counts.flatten())
    numbers = torch.randn((len(heads), 2 * layout.head_size), generator=source)
    return SlotPairs(heads.numpy(), numbers.numpy(), layout.n_heads, 1)


def said(runtime: FastRuntime, inputs: Inputs) -> torch.Tensor:
    """Logits of the prompt's last position, of steps and of drafts."""
    runtime.rewind(inputs.keys)
    first = runtime.prefill(inputs, lambda: None)
    assert isinstance(first, torch.Tensor)
    drafts = (runtime.verify(AFTER[at : at + n]) for at, n in ((0, 1), (1, 4), (5, 8)))
    return torch.cat([first[None], *drafts])


def inputs_with(pairs: SlotPairs, ids: tuple[int, ...] = AFTER) -> Inputs:
    return Inputs(BEFORE, pairs, ids)


@pytest.mark.parametrize("make", RUNTIMES.values(), ids=RUNTIMES)
def test_what_stands_before_the_slots_is_seen_wherever_they_begin(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make()
    inputs = inputs_with(pairs_of(runtime.layout))
    moved = said(runtime, inputs)
    assert len(set(runtime._cache._starts)) > 1
    monkeypatch.setattr(static_cache, "_starts", lambda begin, n_absent: [0] * len(n_absent))
    still = make()
    torch.testing.assert_close(moved, said(still, inputs), **NEAR)
    assert set(still._cache._starts) == {0}


@pytest.mark.parametrize("make", RUNTIMES.values(), ids=RUNTIMES)
def test_other_slots_and_none_find_the_cache_as_it_was(make: Make) -> None:
    runtime = make()
    layout = runtime.layout
    prompts = [
        inputs_with(pairs_of(layout)),
        inputs_with(pairs_of(layout, seed=1, n_slots=20)),
        inputs_with(pairs_of(layout, seed=2, n_slots=7)),
        Inputs((), None, (*BEFORE, *AFTER)),
        inputs_with(pairs_of(layout), AFTER[:9]),
        Inputs((), None, AFTER),
        inputs_with(pairs_of(layout)),
        Inputs((), None, AFTER[:6]),
    ]
    for prompt in prompts:
        fresh = said(make(), prompt)
        torch.testing.assert_close(said(runtime, prompt), fresh, **NEAR)


@pytest.mark.parametrize("make", RUNTIMES.values(), ids=RUNTIMES)
def test_what_memory_held_before_is_never_seen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = said(make(), inputs_with(pairs_of(make().layout)))

    empty = torch.empty

    def unclean(*size: Any, **options: Any) -> torch.Tensor:
        made = empty(*size, **options)
        return made.fill_(torch.nan) if made.is_floating_point() else made

    runtime = make()
    monkeypatch.setattr(static_cache.torch, "empty", unclean)
    torch.testing.assert_close(said(runtime, inputs_with(pairs_of(runtime.layout))), wanted, **NEAR)


def test_slots_stay_while_the_cache_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = FastRuntime(model_of_levels(), Weights.INT8, first_capacity=16)
    inputs = inputs_with(pairs_of(runtime.layout), AFTER * 3)
    monkeypatch.setattr(static_cache, "FIRST_CAPACITY", 4096)
    whole = FastRuntime(model_of_levels(), Weights.INT8, first_capacity=4096)
    torch.testing.assert_close(said(runtime, inputs), said(whole, inputs), **NEAR)


@pytest.mark.parametrize("n_slots", [N_SLOTS, 365])
@pytest.mark.parametrize("name", ["eight bits, recorded", "by products", "by products, float32"])
def test_rows_after_slots_come_out_as_they_would_alone(name: str, n_slots: int) -> None:
    runtime = RUNTIMES[name]()
    inputs = inputs_with(pairs_of(runtime.layout, n_slots=n_slots), AFTER[:10])
    runtime.prefill(inputs, lambda: None)
    steps = torch.stack([runtime.step(token) for token in AFTER[10:34]])
    runtime.drop(24)
    together = [runtime.verify(AFTER[at : at + 8]) for at in (10, 18, 26)]
    assert torch.equal(torch.cat(together), steps)


def test_a_layer_looks_at_few_positions() -> None:
    runtime = FastRuntime(model_of_levels(), Weights.PLAIN)
    runtime.prefill(inputs_with(pairs_of(runtime.layout, n_slots=400)), lambda: None)
    end = runtime.n_positions
    with torch.inference_mode():
        seen = [keys.shape[2] for keys in runtime._cache.slots(end, end + 1).keys]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == end + 1
    assert seen[-1] < end + 1 - 400 + 16
    assert np.isfinite(said(runtime, inputs_with(pairs_of(runtime.layout))).numpy()).all()

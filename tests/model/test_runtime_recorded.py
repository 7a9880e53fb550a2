"""Recorded passes: what they recorded, bit for bit, at any place of the cache; else the plain pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_runtime_compact import model_of_levels, tokens
from torch import nn

from model.decoding import Inputs
from model.low_rank import LowRank
from model.runtime import recorded_layers
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.recorded_layers import RecordedLayers
from tests.needed_kernels import half_bits

N_READ = 30
Make = Callable[[], FastRuntime]


def changed() -> FastRuntime:
    model = model_of_levels()
    changes: dict[nn.Module, LowRank] = {}
    for module in (model.model.layers[1].mlp.down_proj, model.model.layers[2].self_attn.q_proj):
        n_outputs, n_inputs = module.weight.shape
        changes[module] = LowRank(0.1 * torch.randn(32, n_inputs), 0.1 * torch.randn(n_outputs, 32))
        module.weight.data += changes[module].whole()
    return FastRuntime(model, Weights.INT4, changes=changes)


RUNTIMES: dict[str, Make] = {
    "eight bits": lambda: FastRuntime(model_of_levels(), Weights.INT8),
    "four bits": lambda: FastRuntime(model_of_levels(), Weights.INT4),
    "layers of two kinds": lambda: FastRuntime(model_of_levels(whole=False), Weights.INT4),
    "an adapter beside some": changed,
    "sixteen bits": lambda: FastRuntime(model_of_levels(), Weights.HALF),
    "bfloat16": lambda: FastRuntime(model_of_levels().bfloat16(), Weights.INT8),
}


def read(runtime: FastRuntime, ids: tuple[int, ...]) -> list[torch.Tensor]:
    """Logits of steps and of drafts of several lengths, at growing places."""
    runtime.prefill(Inputs((), None, ids[:N_READ]), lambda: None)
    lengths = (1, 4, 1, 2, 8, 4, 1, 3)
    starts = [N_READ + sum(lengths[:i]) for i in range(len(lengths))]
    return [runtime.verify(ids[at : at + n]) for at, n in zip(starts, lengths, strict=True)]


WITH_KERNELS = [
    pytest.param(make, marks=half_bits if name == "sixteen bits" else (), id=name)
    for name, make in RUNTIMES.items()
]


@pytest.mark.parametrize("make", WITH_KERNELS)
def test_recorded_passes_give_the_plain_passes_logits(make: Make) -> None:
    ids, runtime = tokens(60), make()
    assert runtime.recorded is not None
    recorded = read(runtime, ids)
    assert runtime.recorded.works
    assert runtime.recorded._recordings
    runtime.clear()
    runtime.recorded.works = False
    assert all(torch.equal(one, other) for one, other in zip(read(runtime, ids), recorded, strict=True))


def test_a_number_of_rows_is_recorded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    trace = recorded_layers._traced
    monkeypatch.setattr(recorded_layers, "_traced", lambda *a: made.append(a[2]) or trace(*a))
    runtime = FastRuntime(model_of_levels(), Weights.INT4)
    read(runtime, tokens(60))
    assert sorted(made) == [1, 2, 3, 4, 8]


def refuse(*_: object) -> torch.Tensor:
    raise RuntimeError("the recorder is gone")


def lie(*_: object) -> Callable[..., torch.Tensor]:
    return lambda rows, *rest: rows + 1


@pytest.mark.parametrize("traced", [refuse, lie], ids=["cannot be recorded", "recorded wrongly"])
def test_where_recording_fails_the_plain_pass_works(
    monkeypatch: pytest.MonkeyPatch, traced: Callable[..., torch.Tensor]
) -> None:
    ids = tokens(60)
    wanted = read(FastRuntime(model_of_levels(), Weights.INT4), ids)
    monkeypatch.setattr(recorded_layers, "_traced", traced)
    runtime = FastRuntime(model_of_levels(), Weights.INT4)
    assert all(torch.equal(one, other) for one, other in zip(read(runtime, ids), wanted, strict=True))
    assert runtime.recorded is not None
    assert not runtime.recorded.works


def test_plain_weights_are_not_recorded() -> None:
    runtime = FastRuntime(model_of_levels(), Weights.PLAIN)
    assert runtime.recorded is None
    with pytest.raises(ValueError, match="keep their bits"):
        RecordedLayers(runtime._few)

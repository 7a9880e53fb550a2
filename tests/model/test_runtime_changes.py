"""An adapter merged into a four-bit model: the levels are found below it, and it runs beside them."""

from __future__ import annotations

import pytest
import torch
from test_runtime_compact import model_of_levels, tokens, unpacked
from torch import nn

from model.bundle import adapted, find_checkpoint
from model.decoding import Inputs
from model.hub import ModelHub, default_cache_dir
from model.loading import load_language_model
from model.low_rank import LowRank, stacked_changes
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.int4 import int4_multiply, recovered
from model.runtime.plan import Matrix, plan_of

RANK = 32


def change_of(n_outputs: int, n_inputs: int, seed: int = 0, rank: int = RANK) -> LowRank:
    numbers = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, n_inputs, generator=numbers) / n_inputs**0.5
    return LowRank(down, 0.02 * torch.randn(n_outputs, rank, generator=numbers))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_levels_are_found_below_a_change_that_was_merged_in(dtype: torch.dtype) -> None:
    change = change_of(48, 96)
    merged = unpacked(48, 96, dtype)
    merged += change.whole().to(dtype)
    assert recovered(Matrix(merged)) is None
    levels = recovered(Matrix(merged, torch.randn(48), change))
    assert levels is not None
    rows = torch.randn(5, 96).bfloat16().float()
    got = int4_multiply(levels)(rows)
    wanted = torch.nn.functional.linear(rows, merged.float(), levels.bias)
    torch.testing.assert_close(got, wanted, rtol=0.0, atol=float(wanted.abs().max()) * 2**-6)


def test_a_rank_that_the_kernel_does_not_take_is_left_merged() -> None:
    change = change_of(48, 96, rank=8)
    assert recovered(Matrix(unpacked(48, 96) + change.whole(), None, change)) is None


def test_changes_of_stacked_maps_stand_one_below_the_other() -> None:
    first, last = change_of(16, 32, 1), change_of(8, 32, 2, rank=3)
    stacked = stacked_changes([first, None, last], [16, 4, 8])
    assert stacked is not None
    assert torch.allclose(stacked.whole(), torch.cat([first.whole(), torch.zeros(4, 32), last.whole()]))
    assert stacked_changes([None, None], [16, 4]) is None


def test_with_changes_logits_stay_near_and_drafts_equal_steps() -> None:
    ids, model = tokens(90), model_of_levels()
    changes: dict[nn.Module, LowRank] = {}
    for number, (name, module) in enumerate(model.named_modules()):
        if isinstance(module, nn.Linear) and "_proj" in name and "k_proj" not in name:
            changes[module] = change_of(*module.weight.shape, number)
            module.weight.data += changes[module].whole()
    with torch.no_grad():
        plain = model(torch.tensor([ids])).logits[0, 60:]
    layer = plan_of(model, changes).layers[1]
    assert all(recovered(matrix) for matrix in (layer.qkv, layer.out, layer.gate_up, layer.down))
    runtime = FastRuntime(model, Weights.INT4, changes=changes)
    runtime.prefill(Inputs((), None, ids[:60]), lambda: None)
    steps = torch.stack([runtime.step(token) for token in ids[60:]])
    runtime.drop(30)
    assert torch.equal(torch.cat([runtime.verify(ids[60:67]), runtime.verify(ids[67:])]), steps)
    assert torch.nn.functional.cosine_similarity(steps, plain).min() > 0.998


def test_a_plan_can_let_go_of_the_changes() -> None:
    model = model_of_levels()
    module = model.model.layers[0].mlp.down_proj
    plan = plan_of(model, {module: change_of(*module.weight.shape)})
    assert plan.layers[0].down.change is not None
    assert plan.without_changes().layers[0].down.change is None


@pytest.mark.real_model
@pytest.mark.usefixtures("embedded_model_path")
def test_the_shipped_adapter_leaves_the_files_levels_to_be_found() -> None:
    hub = ModelHub(default_cache_dir(), offline=True)
    loaded = load_language_model(hub.resolve("smollm2-135m", allow_download=False), "cpu")
    loaded = adapted(loaded, find_checkpoint("auto", loaded, "smollm2-135m"))
    assert len(loaded.changes) == 7 * 30
    for layer in plan_of(loaded.model, loaded.changes).layers[::10]:
        assert all(recovered(matrix) for matrix in (layer.qkv, layer.out, layer.gate_up, layer.down))

"""Nothing of a model is held twice, and little is left of one whose own modules none else computes with."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from test_runtime_compact import model_of_levels, tokens
from test_runtime_half import always, logits_of

from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.plan import plan_of
from tests.needed_kernels import own_kernel


def test_a_second_plan_of_a_model_is_of_the_same_matrices() -> None:
    model = model_of_levels()
    for first, second in zip(plan_of(model).layers, plan_of(model).layers, strict=True):
        for one, other in zip(first.matrices, second.matrices, strict=True):
            assert one.weight.data_ptr() == other.weight.data_ptr()
            assert torch.equal(one.weight, other.weight)


def test_matrices_that_only_lie_in_one_another_are_copied() -> None:
    model = model_of_levels()
    wanted = plan_of(model).layers[0].gate_up.weight.clone()
    mlp = model.model.layers[0].mlp
    apart = torch.stack([mlp.gate_proj.weight.data, mlp.up_proj.weight.data], dim=1)
    mlp.gate_proj.weight.data, mlp.up_proj.weight.data = apart.unbind(1)
    assert torch.equal(plan_of(model).layers[0].gate_up.weight, wanted)


@own_kernel
@pytest.mark.parametrize(
    ("numbers", "kept"),
    [(torch.float16, torch.float16), (torch.bfloat16, torch.bfloat16), (torch.float32, torch.float32)],
)
@pytest.mark.parametrize("is_tied", [True, False])
def test_what_stays_of_an_emptied_module_is_as_short_as_it_can_be_exactly(
    monkeypatch: pytest.MonkeyPatch, numbers: torch.dtype, kept: torch.dtype, is_tied: bool
) -> None:
    always(monkeypatch, Weights.KERNEL)
    ids, model = tokens(90), model_of_levels()
    embedding, head = model.model.embed_tokens, model.lm_head
    scale = 1e-6 if numbers == torch.bfloat16 else 1.0001  # too small for float16
    embedding.weight.data = (embedding.weight.data * scale).to(numbers).float()
    head.weight.data = embedding.weight.data if is_tied else (head.weight.data / 3).to(numbers).float()
    runtime = FastRuntime(model, Weights.KERNEL)
    before = logits_of(runtime, ids, 60)
    weight = weakref.ref(runtime.stack.plan.embedding)
    runtime.empty(model)
    plan = runtime.stack.plan
    assert (plan.embedding.dtype, plan.head.weight.dtype) == (kept, kept)
    assert (plan.embedding.data_ptr() == plan.head.weight.data_ptr()) == is_tied
    assert embedding.weight.data_ptr() == plan.embedding.data_ptr()
    assert torch.equal(logits_of(runtime, ids, 60), before)
    gc.collect()
    assert (weight() is None) == (kept != torch.float32)

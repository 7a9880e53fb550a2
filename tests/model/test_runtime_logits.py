"""The likeliest tokens' logits are as sharp as the model's own numbers allow; the others are bfloat16's."""

from __future__ import annotations

import pytest
import torch
from test_runtime_compact import model_of_levels

from model.runtime import layers
from model.runtime.compact import Weights, decoding_stack
from model.runtime.layers import logits_of
from model.runtime.plan import plan_of

SEED = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("weights", [Weights.PLAIN, Weights.INT8, Weights.INT4])
def test_the_likeliest_are_multiplied_in_float32(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "N_SHARP", 8)
    model = model_of_levels().bfloat16()
    plan = plan_of(model)
    rows = torch.randn(3, plan.embedding.shape[1], generator=SEED)
    with torch.inference_mode():
        logits = logits_of(decoding_stack(plan, weights), rows)
        evened = rows.double() / rows.double().square().mean(-1, keepdim=True).add(1e-5).sqrt()
        exact = (evened * model.model.norm.weight.double()) @ model.lm_head.weight.double().T
    off = (logits - exact).abs()
    likeliest = logits.topk(8).indices
    assert off.gather(1, likeliest).max() < 1e-4
    assert off.max() > 1e-3, "the others were not left as they were"


def test_each_row_is_sharpened_by_itself() -> None:
    plan = plan_of(model_of_levels().bfloat16())
    rows = torch.randn(8, plan.embedding.shape[1], generator=SEED)
    stack = decoding_stack(plan, Weights.INT8)
    with torch.inference_mode():
        alone = torch.cat([logits_of(stack, rows[at : at + 1].clone()) for at in range(8)])
        assert torch.equal(logits_of(stack, rows), alone)

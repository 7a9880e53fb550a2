"""Attention of several rows: what it gives, and that a row comes out as it would alone, to the last bit."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from model.decoding import Inputs
from model.runtime import attention
from model.runtime.attention import (
    Attention,
    attended,
    exact_attention,
    filling_of,
    hiding,
    keeps_bits,
    mask_of,
)
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.plan import Plan, plan_of

SHAPES = {"SmolLM2's": (9, 3, 64), "Qwen2.5's": (12, 2, 128)}
"""Heads, key heads, width: of the generators in the catalogue."""
MOST_POSITIONS = 1_600


def model_with(heads: int, kv_heads: int, width: int, dtype: torch.dtype = torch.bfloat16) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=heads * width,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
    )
    made: PreTrainedModel = LlamaForCausalLM(config).to(dtype).eval()
    return made


def plan_with(heads: int, kv_heads: int, width: int, dtype: torch.dtype = torch.bfloat16) -> Plan:
    return plan_of(model_with(heads, kv_heads, width, dtype))


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    shape: tuple[int, int, int] = request.param
    return shape


@pytest.fixture(params=[torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    dtype: torch.dtype = request.param
    return dtype


@pytest.fixture
def plan(shape: tuple[int, int, int], dtype: torch.dtype) -> Plan:
    return plan_with(*shape, dtype)


class Cache:
    """Numbers for keys, values and eight queries."""

    def __init__(self, plan: Plan, seed: int = 0) -> None:
        source = torch.Generator().manual_seed(seed)
        n_kv, width = plan.n_kv_heads, plan.head_size
        self.plan = plan
        self.data = torch.randn((2 * n_kv, MOST_POSITIONS, width), generator=source).to(plan.dtype)
        shape = (8, n_kv, plan.n_heads // n_kv, width)
        self.queries = 2 * torch.randn(shape, generator=source).to(plan.dtype)

    def look(
        self, way: Attention, first: int, last: int, end: int, unseen: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Of the queries from `first` to `last`, the last of which stands at the end."""
        n_rows, n_kv = last - first, self.plan.n_kv_heads
        n_seen = filling_of(way, self.plan.dtype).up(end)
        mask = mask_of(way, self.plan, n_rows, end, n_seen)
        if unseen is not None:
            mask = hiding(way, self.plan, mask, unseen[:, :n_seen])
        keys, values = self.data[None, :n_kv, :n_seen], self.data[None, n_kv:, :n_seen]
        return attended(way, self.queries[first:last], n_rows, keys, values, mask)


def unseen_by_some(plan: Plan, n_hidden: int) -> torch.Tensor:
    """About half of the first positions, others for each key head."""
    drawn = torch.rand((plan.n_kv_heads, n_hidden), generator=torch.Generator().manual_seed(1))
    hidden = torch.zeros(plan.n_kv_heads, MOST_POSITIONS)
    hidden[:, :n_hidden].masked_fill_(drawn < 0.5, -torch.inf)
    return hidden


@pytest.mark.parametrize("n_hidden", [0, 1, 7, 20])
@pytest.mark.parametrize("end", [30, 33, 500])
@pytest.mark.parametrize("way", Attention)
def test_each_head_sees_what_is_not_hidden_from_it(
    plan: Plan, way: Attention, end: int, n_hidden: int
) -> None:
    cache, n_kv, unseen = Cache(plan), plan.n_kv_heads, unseen_by_some(plan, n_hidden)
    for n_rows in (1, 8):
        queries = cache.queries[-n_rows:].permute(1, 2, 0, 3).float()
        keys, values = cache.data[:n_kv, None, :end].float(), cache.data[n_kv:, None, :end].float()
        scores = queries @ keys.transpose(2, 3) / plan.head_size**0.5 + unseen[:, None, None, :end]
        later = torch.ones(n_rows, end, dtype=torch.bool).triu(end - n_rows + 1)
        wanted = scores.masked_fill(later, -torch.inf).softmax(-1) @ values
        got = cache.look(way, 8 - n_rows, 8, end, unseen).float()
        torch.testing.assert_close(got, wanted.permute(2, 0, 1, 3).reshape(n_rows, -1), atol=0.04, rtol=0.02)


@pytest.mark.parametrize("end", [8, 9, 33, 500])
@pytest.mark.parametrize("way", Attention)
def test_all_ways_see_the_same(plan: Plan, way: Attention, end: int) -> None:
    cache, n_kv = Cache(plan), plan.n_kv_heads
    queries = cache.queries.permute(1, 2, 0, 3).float()
    keys, values = cache.data[:n_kv, None, :end].float(), cache.data[n_kv:, None, :end].float()
    scores = queries @ keys.transpose(2, 3) / plan.head_size**0.5
    hidden = torch.ones(8, end, dtype=torch.bool).triu(end - 7)
    wanted = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ values
    got = cache.look(way, 0, 8, end).float()
    torch.testing.assert_close(got, wanted.permute(2, 0, 1, 3).reshape(8, -1), atol=0.04, rtol=0.02)


def test_rows_come_out_as_they_would_alone(plan: Plan) -> None:
    """Wherever the check at load lets rows be looked at together."""
    if not keeps_bits(plan):
        pytest.skip("not on this processor: rows are looked at one by one")
    cache = Cache(plan)
    for end in [*range(8, 150), *range(150, MOST_POSITIONS, 37)]:
        alone = [cache.look(Attention.PRODUCTS, row, row + 1, end - 7 + row) for row in range(8)]
        for n_rows in (2, 3, 4, 8):
            together = cache.look(Attention.PRODUCTS, 8 - n_rows, 8, end)
            assert torch.equal(together, torch.cat(alone[8 - n_rows :])), f"{n_rows} rows, {end} positions"


def test_rows_come_out_as_they_would_alone_where_some_is_hidden(plan: Plan) -> None:
    if not keeps_bits(plan):
        pytest.skip("not on this processor: rows are looked at one by one")
    cache, unseen = Cache(plan), unseen_by_some(plan, 200)
    for end in range(208, MOST_POSITIONS, 61):
        rows = range(8)
        alone = [cache.look(Attention.PRODUCTS, row, row + 1, end - 7 + row, unseen) for row in rows]
        together = cache.look(Attention.PRODUCTS, 0, 8, end, unseen)
        assert torch.equal(together, torch.cat(alone)), f"{end} positions"


def test_what_lies_behind_the_end_is_not_seen(plan: Plan) -> None:
    cache = Cache(plan)
    before = cache.look(Attention.PRODUCTS, 0, 8, 50)
    cache.data[:, 50:] = 1e4
    assert torch.equal(cache.look(Attention.PRODUCTS, 0, 8, 50), before)


def test_shapes_that_lose_bits_are_looked_at_row_by_row() -> None:
    assert exact_attention(plan_with(4, 4, 64)) is Attention.APART  # one row is another kernel
    assert exact_attention(plan_with(4, 2, 16)) is Attention.APART
    assert exact_attention(plan_with(4, 4, 64, torch.float32)) is Attention.APART


@pytest.mark.parametrize("product", ["of keys", "of values"])
def test_a_kernel_that_loses_bits_is_found_out(
    plan: Plan, product: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    multiply, is_short = torch.bmm, plan.dtype == torch.bfloat16
    n_of_one = (1 if is_short else 2) * plan.n_heads // plan.n_kv_heads

    def in_another_order(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Two parts apart where there are several rows: what a kernel does that splits long sums.

        Not two halves: the numbers of the probe cancel by halves, and where a kernel sums up the one after
        the other, too, that is no other order (seen on a processor without AVX-512).
        """
        n_asked = right.shape[2] if product == "of keys" and is_short else left.shape[1]
        is_meant = (right.shape[1] == plan.head_size) == (product == "of keys")
        if n_asked <= n_of_one or not is_meant:
            return multiply(left, right)
        part = left.shape[2] // 3
        first = multiply(left[..., :part].float(), right[:, :part].float())
        return (first + multiply(left[..., part:].float(), right[:, part:].float())).to(left.dtype)

    monkeypatch.setattr(torch, "bmm", in_another_order)
    assert not keeps_bits(plan)


def test_a_kernel_that_cuts_sums_by_their_length_is_found_out(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    multiply = torch.bmm

    def halved(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """At lengths that no probe of several rows looks at."""
        length = left.shape[2]
        if not 700 <= length < 750:
            return multiply(left, right)
        first = multiply(left[..., : length // 2], right[:, : length // 2])
        return first + multiply(left[..., length // 2 :], right[:, length // 2 :])

    monkeypatch.setattr(torch, "bmm", halved)
    assert not keeps_bits(plan_with(*shape, torch.float32))


@pytest.mark.parametrize("way", [Attention.PRODUCTS, Attention.APART])
def test_drafts_equal_steps(
    shape: tuple[int, int, int], dtype: torch.dtype, way: Attention, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way is Attention.APART:
        monkeypatch.setattr(attention, "keeps_bits", lambda plan: False)
    runtime = FastRuntime(model_with(*shape, dtype), Weights.INT8, first_capacity=8)
    assert runtime._few.attention is exact_attention(plan_with(*shape, dtype))
    ids = tuple(range(3, 103))
    runtime.prefill(Inputs((), None, ids[:40]), lambda: None)
    steps = torch.stack([runtime.step(token) for token in ids[40:]])
    runtime.drop(60)
    drafts = [runtime.verify(ids[at : at + n]) for at, n in ((40, 8), (48, 3), (51, 2), (53, 7), (60, 8))]
    assert torch.equal(torch.cat(drafts), steps[:28])

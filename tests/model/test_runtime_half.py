"""Matrices of sixteen bits, and the runtime that decodes and reads with them."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from itertools import accumulate, pairwise

import pytest
import torch
from test_runtime_compact import model_of_levels, tokens
from torch import nn

from model.decoding import CPU_CHUNK, Inputs
from model.runtime import compact
from model.runtime.attention import Attention
from model.runtime.compact import (
    PLAIN_ROWS,
    Weights,
    decoding_stack,
    fastest_weights,
    possible_weights,
    reading_stack,
)
from model.runtime.fast_runtime import FastRuntime
from model.runtime.half import FILLED, half_multiplies, keeps_bits
from model.runtime.int8 import Multiply
from model.runtime.plan import Matrix, plan_of
from model.runtime.recorded_layers import RecordedLayers
from model.runtime.row_costs import MOST_ROWS
from tests.needed_kernels import HAS_KERNEL, half_bits

SHAPES = ((960, 576), (576, 1536), (48, 40))


def some_matrix(n_outputs: int, n_inputs: int, *, bias: bool = False) -> Matrix:
    torch.manual_seed(n_outputs)
    return Matrix(torch.randn(n_outputs, n_inputs) / 20, torch.randn(n_outputs) if bias else None)


@half_bits
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 7, 64])
def test_the_product_is_that_of_the_plain_matrix_to_eleven_bits(bias: bool, n_rows: int) -> None:
    matrices = [some_matrix(*shape, bias=bias) for shape in SHAPES]
    gains = [torch.rand(shape[1]) + 0.5 for shape in SHAPES]
    multiplies = half_multiplies([*zip(matrices, gains, strict=True), (matrices[0], None)])
    for matrix, gain, multiply in zip(
        (*matrices, matrices[0]), (*gains, torch.ones(576)), multiplies, strict=True
    ):
        rows = torch.randn(n_rows, len(gain))
        wanted = torch.nn.functional.linear(rows * gain, matrix.weight, matrix.bias)
        off = (rows.abs() * gain) @ matrix.weight.abs().T * 2**-11  # each weight by half a step at most
        assert ((multiply(rows) - wanted).abs() <= off + 1e-5).all()


@half_bits
@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_keeps_its_bits_beside_others(shape: tuple[int, int]) -> None:
    (multiply,) = half_multiplies([(some_matrix(*shape), None)])
    rows = torch.randn(MOST_ROWS, shape[1])
    alone = torch.cat([multiply(row) for row in rows.split(1)])
    for n_rows in range(1, MOST_ROWS + 1):
        for begin in range(MOST_ROWS + 1 - n_rows):
            assert torch.equal(multiply(rows[begin : begin + n_rows]), alone[begin : begin + n_rows])


def test_a_kernel_by_the_number_of_rows_is_found_out() -> None:
    weight = torch.randn(16, 32)

    def by_number(rows: torch.Tensor) -> torch.Tensor:
        return rows @ weight.T + (1e-6 if len(rows) == 5 else 0.0)

    assert not keeps_bits(Multiply(by_number, ()), 32)
    assert keeps_bits(Multiply(lambda rows: (rows.unsqueeze(1) * weight).sum(-1), ()), 32)


def test_numbers_too_large_are_refused() -> None:
    for wrong in (70_000.0, torch.inf, torch.nan):
        with pytest.raises(ValueError, match="numbers above 65504; keep it plain"):
            half_multiplies([(Matrix(torch.full((16, 32), wrong)), None)])


def missing(_: object, __: object) -> object:
    raise RuntimeError("Didn't find engine for operation quantized::linear_prepack_fp16 NoQEngine")


def test_without_kernels_for_it_another_format_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.quantized, "linear_prepack_fp16", missing)
    plan = plan_of(model_of_levels())
    assert fastest_weights(plan) in set(Weights) - {Weights.HALF}
    with pytest.raises(ValueError, match="no matrices of sixteen bits for this processor"):
        decoding_stack(plan, Weights.HALF)


def test_rows_of_sixteen_bits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows of torch.bfloat16 are not multiplied by sixteen bits"):
        decoding_stack(plan_of(model_of_levels().bfloat16()), Weights.HALF)


def test_what_depends_on_the_rows_beside_it_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "keeps_bits", lambda *_: False)
    plan = plan_of(model_of_levels())
    assert compact._made([plan.layers[0].qkv], Weights.HALF) == []


def test_large_models_and_those_in_bfloat16_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    every = set(Weights) if HAS_KERNEL else set(Weights) - {Weights.KERNEL}
    assert set(possible_weights(plan_of(model_of_levels()))) == every
    assert set(possible_weights(plan_of(model_of_levels().bfloat16()))) == every - {
        Weights.HALF,
        Weights.KERNEL,
    }
    monkeypatch.setattr(compact, "MOST_HALF_BYTES", 1000)
    assert set(possible_weights(plan_of(model_of_levels()))) == every - {Weights.HALF}


def logits_of(runtime: FastRuntime, ids: tuple[int, ...], n_read: int) -> torch.Tensor:
    runtime.prefill(Inputs((), None, ids[:n_read]), lambda: None)
    return torch.stack([runtime.step(token) for token in ids[n_read:]])


@half_bits
def test_drafts_and_steps_say_the_same_to_the_last_bit() -> None:
    ids = tokens(90)
    runtime = FastRuntime(model_of_levels(), Weights.HALF)
    steps = logits_of(runtime, ids, 60)
    assert runtime.recorded is not None and runtime.recorded.works
    for lengths in ((4, 1, 2, 8, 3, 5, 7), (8, 8, 6, 8), (1, 1, 2, 2, 3, 3, 6, 6, 6)):
        runtime.drop(len(steps))
        places = accumulate(lengths, initial=60)
        drafts = [runtime.verify(ids[at:end]) for at, end in pairwise(places)]
        assert torch.equal(torch.cat(drafts), steps)
    runtime.recorded.works = False
    runtime.drop(len(steps))
    assert torch.equal(runtime.verify(ids[60:67]), steps[:7])


@half_bits
def test_rows_are_filled_up_to_even_numbers_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    run = RecordedLayers.run
    monkeypatch.setattr(
        RecordedLayers, "run", lambda self, rows, slots: read.append(len(rows)) or run(self, rows, slots)
    )
    runtime = FastRuntime(model_of_levels(), Weights.HALF)
    for n_rows in range(1, MOST_ROWS + 1):
        runtime.verify(tokens(n_rows))
    assert read == [4, 4, 4, 4, 6, 6, 8, 8]
    assert runtime.n_positions == sum(range(1, MOST_ROWS + 1))


@half_bits
def test_logits_are_nearer_than_those_of_integers() -> None:
    ids = tokens(90)
    with torch.no_grad():
        plain = model_of_levels()(torch.tensor([ids])).logits[0, 60:]
    off = {
        weights: float((logits_of(FastRuntime(model_of_levels(), weights), ids, 60) - plain).abs().max())
        for weights in (Weights.HALF, Weights.INT8, Weights.INT4)
    }
    assert off[Weights.HALF] < 0.2 * min(off[Weights.INT8], off[Weights.INT4])
    assert off[Weights.HALF] < 0.005 * float(plain.abs().max())


@half_bits
@pytest.mark.parametrize("faster", [Weights.PLAIN, Weights.HALF])
@pytest.mark.parametrize("n_read", [1, 2, 15, CPU_CHUNK + 9])
def test_prompts_are_read_by_what_is_faster(
    monkeypatch: pytest.MonkeyPatch, faster: Weights, n_read: int
) -> None:
    always(monkeypatch, faster)
    ids, model = tokens(n_read), model_of_levels()
    with torch.no_grad():
        wanted = model(torch.tensor([ids])).logits[0, -1]
    runtime = FastRuntime(model, Weights.HALF)
    runtime.row_costs = replace(runtime.row_costs, n_few=0)
    got = runtime.prefill(Inputs((), None, ids), lambda: None)
    torch.testing.assert_close(got, wanted, atol=0.005 * float(wanted.abs().max()), rtol=0.0)
    assert (runtime.stack.rows is PLAIN_ROWS) == (faster is Weights.PLAIN)
    assert runtime.stack.attention is Attention.MASKED


@half_bits
def test_the_stack_that_reads_holds_no_matrix_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        compact, "_fastest", lambda kinds, *_: {kind: float(kind == "plain") for kind in kinds}
    )
    plan = plan_of(model_of_levels())
    decoding = decoding_stack(plan, Weights.HALF)
    reading = reading_stack(plan, decoding, Weights.HALF)
    assert reading.layers is decoding.layers and reading.rows is FILLED
    plain = reading_stack(plan, decoding_stack(plan, Weights.INT8), Weights.INT8)
    assert plain.layers[0].down.tensors[0] is plan.layers[0].down.weight


@half_bits
def test_numbers_too_small_become_zero_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    (multiply,) = half_multiplies([(Matrix(torch.full((16, 32), 1e-9)), None)])
    assert not multiply(torch.ones(4, 32)).any()
    assert not recwarn.list


def always(monkeypatch: pytest.MonkeyPatch, weights: Weights) -> None:
    """These are the fastest in every trial."""
    monkeypatch.setattr(
        compact, "_fastest", lambda kinds, *_: {kind: float(kind != weights) for kind in kinds}
    )


@half_bits
def test_a_module_that_none_else_reads_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, Weights.HALF)
    ids, model = tokens(90), model_of_levels()
    runtime = FastRuntime(model, Weights.HALF)
    before = logits_of(runtime, ids, 60)
    runtime.empty(model)
    assert runtime.n_positions == 0
    assert {len(linear.weight) for layer in model.model.layers for linear in linears(layer)} == {0}
    assert torch.equal(logits_of(runtime, ids, 60), before)
    assert runtime.recorded is not None and runtime.recorded.works
    runtime.drop(30)
    assert torch.equal(runtime.verify(ids[60:65]), before[:5])  # a number of rows that was not recorded yet
    assert runtime.recorded.works


@half_bits
def test_nothing_of_an_emptied_module_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, Weights.HALF)
    model = model_of_levels()
    runtime = FastRuntime(model, Weights.HALF)
    weights = [weakref.ref(layer.gate_up.weight) for layer in runtime.stack.plan.layers]
    logits_of(runtime, tokens(90), 60)
    assert all(weight() is not None for weight in weights)
    runtime.empty(model)
    gc.collect()
    assert [weight() for weight in weights] == [None] * len(weights)


@pytest.mark.parametrize("weights", [Weights.PLAIN, Weights.INT8])
def test_a_module_whose_matrices_read_prompts_is_kept(weights: Weights) -> None:
    model = model_of_levels()
    runtime = FastRuntime(model, weights)
    runtime.empty(model)
    assert all(linear.weight.numel() for layer in model.model.layers for linear in linears(layer))
    with torch.no_grad():
        wanted = model(torch.tensor([tokens(40)])).logits[0, -1]
    got = runtime.prefill(Inputs((), None, tokens(40)), lambda: None)
    assert isinstance(got, torch.Tensor)
    assert torch.cosine_similarity(got, wanted, dim=0) > 0.998


def linears(layer: nn.Module) -> list[nn.Linear]:
    return [module for module in layer.modules() if isinstance(module, nn.Linear)]

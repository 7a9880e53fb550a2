"""Levels of four-bit files found again, and the choice of format for decoding."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from model.decoding import Inputs
from model.runtime import compact
from model.runtime.compact import Weights, decoding_stack, fastest_weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.int4 import BLOCK, int4_multiply, recovered
from model.runtime.int8 import Multiply
from model.runtime.plan import Matrix, plan_of
from tests.needed_kernels import half_bits


def unpacked(
    n_outputs: int, n_inputs: int, dtype: torch.dtype = torch.float16, seed: int = 0
) -> torch.Tensor:
    """A matrix as a Q4_1 file gives it: each block has 16 levels, the ends of which occur."""
    numbers = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 16, (n_outputs, n_inputs // BLOCK, BLOCK), generator=numbers)
    levels[..., 3], levels[..., 7] = 0, 15
    step = (0.01 + 0.01 * torch.rand(n_outputs, n_inputs // BLOCK, 1, generator=numbers)).half().float()
    lowest = (-7.5 * step * (0.8 + 0.4 * torch.rand(step.shape, generator=numbers))).half().float()
    return (lowest + step * levels).view(n_outputs, n_inputs).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_a_recovered_matrix_multiplies_as_the_one_it_came_from(dtype: torch.dtype, bias: bool) -> None:
    weight = unpacked(48, 96, dtype)
    levels = recovered(Matrix(weight, torch.randn(48) if bias else None))
    assert levels is not None
    rows = torch.randn(5, 96).bfloat16().float()
    got = int4_multiply(levels)(rows)
    wanted = torch.nn.functional.linear(rows, weight.float(), levels.bias)
    torch.testing.assert_close(got, wanted, rtol=0.0, atol=float(wanted.abs().max()) * 2**-7)
    if not bias:
        short = int4_multiply(levels)(rows.bfloat16())
        assert short.dtype is torch.bfloat16 and torch.equal(short.float(), got)


def test_a_constant_block_and_a_block_of_zeros_are_levels_too() -> None:
    weight = unpacked(16, 64)
    weight[2, :BLOCK], weight[3] = 0.25, 0.0
    levels = recovered(Matrix(weight))
    assert levels is not None
    got = int4_multiply(levels)(torch.ones(1, 64))[0]
    assert got[3] == 0.0
    torch.testing.assert_close(got, weight.float().sum(1), atol=0.05, rtol=0.0)


def test_weights_that_never_had_levels_are_left_alone() -> None:
    torch.manual_seed(0)
    assert recovered(Matrix(torch.randn(64, 64))) is None
    late = unpacked(128, 64)
    late[100, 5] += 0.3 * (late[100, :BLOCK].max() - late[100, :BLOCK].min()) / 15  # beyond what is probed
    assert recovered(Matrix(unpacked(128, 64))) is not None
    assert recovered(Matrix(late)) is None
    assert recovered(Matrix(unpacked(24, 64))) is None  # the kernel takes outputs by 16
    assert recovered(Matrix(unpacked(32, 64)[:, :48])) is None


def model_of_levels(*, whole: bool = True) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=512, num_hidden_layers=3, **sizes)).eval()
    for seed, (name, parameter) in enumerate(model.named_parameters()):
        if "_proj" in name and (whole or "down" not in name):
            parameter.data = unpacked(*parameter.shape, torch.float32, seed)
        elif "norm" in name:
            parameter.data = 0.5 + torch.rand(parameter.shape)
        else:
            parameter.data.mul_(4)
    built: PreTrainedModel = model
    return built


def tokens(count: int) -> tuple[int, ...]:
    return tuple(int(i) for i in torch.randint(2, 500, (count,), generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("whole", [True, False], ids=["all levels", "some matrices without"])
def test_logits_stay_near_and_drafts_equal_steps(whole: bool) -> None:
    ids, model = tokens(90), model_of_levels(whole=whole)
    with torch.no_grad():
        plain = model(torch.tensor([ids])).logits[0, 60:]
    runtime = FastRuntime(model, Weights.INT4)
    runtime.prefill(Inputs((), None, ids[:60]), lambda: None)
    steps = torch.stack([runtime.step(token) for token in ids[60:]])
    runtime.drop(30)
    assert torch.equal(torch.cat([runtime.verify(ids[60:67]), runtime.verify(ids[67:])]), steps)
    assert torch.nn.functional.cosine_similarity(steps, plain).min() > 0.998
    assert (steps - plain).abs().max() < 0.1 * plain.abs().max()


def choose(
    monkeypatch: pytest.MonkeyPatch, model: PreTrainedModel, seconds: dict[str, list[float]]
) -> Weights:
    """The choice where every matrix of a format took so long, round by round, whatever the rows."""
    left = {kind: cycle(times) for kind, times in seconds.items()}
    kinds: dict[int, str] = {}
    make = compact._made

    def made(matrices: Sequence[Matrix], weights: Weights) -> list[Multiply]:
        multiplies = make(matrices, weights)
        kinds[id(multiplies)] = weights
        return multiplies

    def timed(multiplies: Sequence[Multiply], rows: Sequence[torch.Tensor]) -> list[float]:
        return [next(left[kinds[id(multiplies)]])] * len(rows)

    with monkeypatch.context() as patch:
        patch.setattr(compact, "_made", made)
        patch.setattr(compact, "_seconds", timed)
        return fastest_weights(plan_of(model))


def test_the_fastest_of_the_rounds_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {
        "plain": [3.0] * 8,
        "kernel": [3.0] * 8,
        "half": [3.0] * 8,
        "int8": [9, 9, 2.0, 9, 9, 9, 9, 9],
        "int4": [8, 8, 8, 8, 8, 8, 8, 1.0],
    }
    assert choose(monkeypatch, model_of_levels(), times) is Weights.INT4
    assert choose(monkeypatch, model_of_levels(whole=False), times) is Weights.INT8  # no levels, no trial
    slow = {"plain": [3.0] * 8, "kernel": [3.1] * 8, "half": [3.5] * 8, "int8": [4.0] * 8, "int4": [5.0] * 8}
    assert choose(monkeypatch, model_of_levels(), slow) is Weights.PLAIN


@half_bits
def test_sixteen_bits_are_worth_a_tenth_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    near = {"plain": [3.0] * 8, "kernel": [2.5] * 8, "half": [2.1] * 8, "int8": [2.0] * 8, "int4": [2.2] * 8}
    assert choose(monkeypatch, model_of_levels(), near) is Weights.HALF
    assert choose(monkeypatch, model_of_levels(), near | {"half": [2.3] * 8}) is Weights.INT4


def test_the_drafted_rows_count_as_the_single_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(multiplies: Sequence[Multiply], rows: Sequence[torch.Tensor]) -> list[float]:
        is_eight_bits = "int8" in multiplies[0].function.__name__
        return [(9.0 if len(some) > 1 else 1.0) if is_eight_bits else 4.0 for some in rows]

    monkeypatch.setattr(compact, "possible_weights", lambda *_: [Weights.PLAIN, Weights.INT8])
    monkeypatch.setattr(compact, "_seconds", timed)
    assert fastest_weights(plan_of(model_of_levels())) is Weights.PLAIN


def test_each_matrix_counts_with_its_own_fastest_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round of a format was disturbed somewhere, but never at the same matrix."""
    model, rounds = model_of_levels(), iter(range(1000))

    def timed(multiplies: Sequence[Multiply], rows: Sequence[torch.Tensor]) -> list[float]:
        number, kind = divmod(next(rounds), 3)
        if kind == 0:  # plain, tried first
            return [3.0] * len(rows)
        return [99.0 if place % 2 == number % 2 else float(3 - kind) for place in range(len(rows))]

    monkeypatch.setattr(compact, "possible_weights", lambda *_: [Weights.PLAIN, Weights.INT8, Weights.INT4])
    monkeypatch.setattr(compact, "_seconds", timed)
    assert fastest_weights(plan_of(model)) is Weights.INT4


def test_a_real_trial_ends_with_a_format_and_leaves_the_weights_alone() -> None:
    model = model_of_levels()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    assert FastRuntime(model).weights in Weights
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_shapes_that_no_kernel_takes_stay_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "MOST_HALF_BYTES", 0)  # those take any shape, and are a matter of time
    odd = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=4,
        )
    )
    plan = plan_of(odd)
    assert fastest_weights(plan) is Weights.PLAIN
    assert FastRuntime(odd).weights is Weights.PLAIN
    with pytest.raises(ValueError, match="48 inputs, not a multiple of 32"):
        decoding_stack(plan, Weights.INT4)
    assert decoding_stack(replace(plan, layers=()), Weights.PLAIN).layers == ()

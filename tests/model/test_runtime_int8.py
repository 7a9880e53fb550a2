"""Eight-bit matrices and the runtime that decodes with them, against the plain ones."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from model.decoding import CPU_CHUNK, Inputs
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.int8 import int8_multiply, plain_multiply, rounded
from model.runtime.plan import Matrix
from model.runtime.row_costs import MOST_ROWS
from tests.tiny_models import load_tiny_model

N_TOKENS = CPU_CHUNK + 40


def some_matrix(n_outputs: int = 48, n_inputs: int = 64, bias: bool = False) -> Matrix:
    torch.manual_seed(2)
    weight = torch.randn(n_outputs, n_inputs) * torch.logspace(-3, 2, n_outputs).unsqueeze(1)
    return Matrix(weight, torch.randn(n_outputs) if bias else None)


def test_an_entry_is_off_by_about_half_a_scale() -> None:
    matrix = some_matrix()
    gain = torch.rand(64) + 0.1
    small = rounded(matrix, gain)
    scales = small.scales.float().unsqueeze(1)
    off = (small.numbers.float() * scales - matrix.weight * gain).abs()
    assert (off <= 0.51 * scales).all()
    assert small.numbers.dtype is torch.int8 and small.numbers.abs().amax(1).min() >= 126


def test_a_row_of_zeros_stays_zero() -> None:
    small = rounded(Matrix(torch.zeros(4, 32)))
    assert not small.numbers.any()
    assert torch.equal(int8_multiply(small)(torch.ones(2, 32).bfloat16()).float(), torch.zeros(2, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_the_product_is_that_of_the_rounded_matrix(dtype: torch.dtype, bias: bool) -> None:
    matrix = some_matrix(bias=bias)
    matrix = Matrix(matrix.weight, None if matrix.bias is None else matrix.bias.to(dtype))
    small = rounded(matrix)
    plain = Matrix(
        small.numbers.float() * small.scales.float().unsqueeze(1),
        None if matrix.bias is None else matrix.bias.float(),
    )
    rows = torch.randn(5, 64).bfloat16()
    got = int8_multiply(small)(rows.to(dtype))
    assert got.dtype is dtype
    wanted = plain_multiply(plain)(rows.float())
    torch.testing.assert_close(got.float(), wanted, rtol=2**-7, atol=float(wanted.abs().max()) * 2**-8)


def test_a_shape_that_the_kernel_would_read_beyond_is_refused() -> None:
    odd = some_matrix(n_inputs=40)
    with pytest.raises(ValueError, match="40 inputs, not a multiple of 32; keep it plain"):
        rounded(odd)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """Wide enough that rounding averages out, as in a real model."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.08,
    )
    made: PreTrainedModel = LlamaForCausalLM(config).eval().to(request.param)
    return made


def tokens(count: int, seed: int = 0) -> tuple[int, ...]:
    numbers = torch.randint(2, 500, (count,), generator=torch.Generator().manual_seed(seed))
    return tuple(int(number) for number in numbers)


def wanted(model: PreTrainedModel, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.float()(torch.tensor([ids])).logits[0]
    return logits


def test_logits_stay_near_those_of_the_plain_model(model: PreTrainedModel) -> None:
    ids = tokens(N_TOKENS)
    runtime = FastRuntime(model, Weights.INT8)
    n_read = N_TOKENS - 30
    last = runtime.prefill(Inputs((), None, ids[:n_read]), lambda: None)
    assert isinstance(last, torch.Tensor) and runtime.weights is Weights.INT8
    got = torch.cat(
        [last.unsqueeze(0), *(runtime.verify(ids[at : at + 6]) for at in range(n_read, N_TOKENS, 6))]
    )
    plain = wanted(model, ids)[n_read - 1 :]
    assert torch.nn.functional.cosine_similarity(got.float(), plain).min() > 0.998
    assert (got.float() - plain).abs().max() < 0.1 * plain.abs().max()


def test_drafts_and_steps_say_the_same_to_the_last_bit(model: PreTrainedModel) -> None:
    ids = tokens(N_TOKENS)
    runtime = FastRuntime(model, Weights.INT8)
    runtime.prefill(Inputs((), None, ids[:-24]), lambda: None)
    steps = torch.stack([runtime.step(token) for token in ids[-24:]])
    runtime.drop(24)
    drafts = torch.cat(
        [runtime.verify(ids[-24:-20]), runtime.verify(ids[-20:-19]), runtime.verify(ids[-19:])]
    )
    assert torch.equal(steps, drafts)


def test_a_short_prefill_goes_through_the_weights_of_a_step(model: PreTrainedModel) -> None:
    ids = tokens(60)
    runtime = FastRuntime(model, Weights.INT8)
    runtime.prefill(Inputs((), None, ids[:-MOST_ROWS]), lambda: None)
    steps = [runtime.step(token) for token in ids[-MOST_ROWS:]]
    runtime.drop(MOST_ROWS)
    again = runtime.prefill(Inputs((), None, ids), lambda: None)
    assert isinstance(again, torch.Tensor) and torch.equal(again, steps[-1])


def test_frequencies_that_a_cast_has_rounded_are_made_anew(tmp_path: Path) -> None:
    """A module cast to bfloat16 turns positions by rounded frequencies; the runtime must not."""
    exact = load_tiny_model(tmp_path / "exact").model
    cast = load_tiny_model(tmp_path / "cast").model.to(torch.bfloat16).to(torch.float32)
    assert not torch.equal(cast.model.rotary_emb.inv_freq, exact.model.rotary_emb.inv_freq)
    angles = [FastRuntime(model, Weights.PLAIN)._cache for model in (exact, cast)]
    first, second = (cache.slots(0, 300) for cache in angles)
    assert torch.equal(first.cos, second.cos) and torch.equal(first.sin, second.sin)

"""The CPU runtime against transformers' own forward pass over the whole text, on tiny random models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel

from model.decoding import CPU_CHUNK, Inputs
from model.protocols import StopReason
from model.runtime import fast_runtime
from model.runtime.compact import PLAIN_ROWS, Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.layers import Stack
from model.runtime.static_cache import Slots
from tests.tiny_models import HIDDEN_SIZE, load_tiny_model

EXACT = 1e-4
NUMBERS = np.random.default_rng(3)


def ids_of(count: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(int(number) for number in np.random.default_rng(seed).integers(2, 300, count))


def wanted(model: PreTrainedModel, inputs: Inputs) -> torch.Tensor:
    """Logits ``[N, V]`` of the plain forward pass over everything at once, without a cache."""
    embed = model.get_input_embeddings()
    with torch.no_grad():
        parts = [embed(torch.tensor(inputs.before, dtype=torch.long))]
        if inputs.rows is not None:
            parts.append(torch.from_numpy(np.asarray(inputs.rows, dtype=np.float32)))
        parts.append(embed(torch.tensor(inputs.ids, dtype=torch.long)))
        rows = torch.cat([part.to(model.dtype) for part in parts]).unsqueeze(0)
        logits: torch.Tensor = model(inputs_embeds=rows).logits[0]
    return logits.float()


def text(ids: tuple[int, ...]) -> Inputs:
    return Inputs((), None, ids)


def go_on() -> StopReason | None:
    return None


def read(runtime: FastRuntime, inputs: Inputs) -> torch.Tensor:
    runtime.rewind(inputs.keys)
    logits = runtime.prefill(inputs, go_on)
    assert isinstance(logits, torch.Tensor)
    return logits.float()


@pytest.fixture(params=["llama", "qwen2"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> PreTrainedModel:
    made = load_tiny_model(tmp_path, request.param).model
    if request.param == "qwen2":  # transformers starts biases at zero, which would hide them
        for layer in made.model.layers:
            for linear in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                linear.bias.data.normal_(generator=torch.Generator().manual_seed(1))
    return made


def test_a_prompt_in_pieces_steps_and_drafts_give_the_plain_logits(model: PreTrainedModel) -> None:
    ids = ids_of(2 * CPU_CHUNK + 60)
    plain = wanted(model, text(ids))
    runtime = FastRuntime(model, Weights.PLAIN)
    n_read = 2 * CPU_CHUNK + 30
    torch.testing.assert_close(read(runtime, text(ids[:n_read])), plain[n_read - 1], atol=EXACT, rtol=EXACT)
    for place in range(n_read, n_read + 5):
        torch.testing.assert_close(runtime.step(ids[place]), plain[place], atol=EXACT, rtol=EXACT)
    rest = ids[n_read + 5 :]
    torch.testing.assert_close(runtime.verify(rest), plain[n_read + 5 :], atol=EXACT, rtol=EXACT)
    assert runtime.n_positions == len(ids)


@pytest.mark.parametrize("n_read", [9, 15, 16, 17, 33, CPU_CHUNK + 9])
def test_texts_of_all_lengths_are_read_in_few_shapes(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, n_read: int
) -> None:
    seen = set()
    original = fast_runtime.run_layers

    def watched(stack: Stack, rows: torch.Tensor, slots: Slots) -> torch.Tensor:
        seen.add(len(rows) % PLAIN_ROWS.multiple)
        return original(stack, rows, slots)

    monkeypatch.setattr(fast_runtime, "run_layers", watched)
    ids = ids_of(n_read + 1)
    plain = wanted(model, text(ids))
    runtime = FastRuntime(model, Weights.PLAIN)
    torch.testing.assert_close(read(runtime, text(ids[:-1])), plain[-2], atol=EXACT, rtol=EXACT)
    assert seen == {0} and runtime.n_positions == n_read
    torch.testing.assert_close(runtime.step(ids[-1]), plain[-1], atol=EXACT, rtol=EXACT)


def test_the_module_works_on_and_shares_its_matrices(model: PreTrainedModel) -> None:
    ids = ids_of(20)
    before = wanted(model, text(ids))
    runtime = FastRuntime(model, Weights.PLAIN)
    assert torch.equal(wanted(model, text(ids)), before)
    attention = model.model.layers[0].self_attn
    stacked = runtime._plan.layers[0].qkv.weight
    assert attention.q_proj.weight.data_ptr() == stacked.data_ptr()
    assert attention.k_proj.weight.untyped_storage().data_ptr() == stacked.untyped_storage().data_ptr()


def test_a_rewind_in_the_middle_keeps_what_is_shared(model: PreTrainedModel) -> None:
    first, second = ids_of(50), (*ids_of(30), *ids_of(25, seed=1))
    runtime = FastRuntime(model, Weights.PLAIN)
    read(runtime, text(first))
    assert runtime.rewind(second) == 30
    logits = runtime.prefill(text(second), go_on)
    assert isinstance(logits, torch.Tensor)
    torch.testing.assert_close(logits, wanted(model, text(second))[-1], atol=EXACT, rtol=EXACT)
    assert runtime.rewind(second) == len(second) - 1  # the last is always read again
    assert runtime.rewind(ids_of(9, seed=5)) == runtime.n_positions == 0


def test_a_dropped_draft_leaves_no_trace(model: PreTrainedModel) -> None:
    ids = ids_of(40)
    runtime = FastRuntime(model, Weights.PLAIN)
    read(runtime, text(ids[:30]))
    runtime.verify(ids_of(6, seed=9))
    runtime.drop(4)
    runtime.drop(2)
    assert runtime.n_positions == 30
    torch.testing.assert_close(
        runtime.verify(ids[30:]), wanted(model, text(ids))[30:], atol=EXACT, rtol=EXACT
    )


@pytest.mark.parametrize("n_before", [0, 3, CPU_CHUNK - 2, CPU_CHUNK + 4])
def test_pseudo_tokens_are_read_in_their_place(model: PreTrainedModel, n_before: int) -> None:
    rows = NUMBERS.standard_normal((5, HIDDEN_SIZE))  # float64, as a careless caller gives them
    inputs = Inputs(ids_of(n_before), rows.astype(np.float32), ids_of(20, seed=2))
    runtime = FastRuntime(model, Weights.PLAIN)
    torch.testing.assert_close(read(runtime, inputs), wanted(model, inputs)[-1], atol=EXACT, rtol=EXACT)
    longer = Inputs(inputs.before, inputs.rows, (*inputs.ids, 7))
    assert runtime.rewind(longer.keys) == len(inputs.keys)
    torch.testing.assert_close(read(runtime, longer), wanted(model, longer)[-1], atol=EXACT, rtol=EXACT)


def test_the_cache_grows_without_forgetting(model: PreTrainedModel) -> None:
    ids = ids_of(90)
    runtime = FastRuntime(model, Weights.PLAIN, first_capacity=8)
    read(runtime, text(ids[:8]))
    got = torch.stack([runtime.step(token) for token in ids[8:]])
    assert runtime._cache.capacity == 128
    torch.testing.assert_close(got, wanted(model, text(ids))[8:], atol=EXACT, rtol=EXACT)
    runtime.clear()
    assert (runtime.n_positions, runtime._cache.capacity) == (0, 0)
    torch.testing.assert_close(
        read(runtime, text(ids[:9])), wanted(model, text(ids))[8], atol=EXACT, rtol=EXACT
    )


def test_an_error_in_a_pass_leaves_what_was_read_before(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ids_of(40)
    runtime = FastRuntime(model, Weights.PLAIN, first_capacity=32)
    read(runtime, text(ids[:30]))

    def fail_after_writing(*arguments: object) -> torch.Tensor:
        run_layers(*arguments)  # type: ignore[arg-type]
        raise MemoryError("no room")

    run_layers = fast_runtime.run_layers
    with monkeypatch.context() as patch:
        patch.setattr(fast_runtime, "run_layers", fail_after_writing)
        with pytest.raises(MemoryError, match="no room"):
            runtime.verify(ids_of(8, seed=4))
    assert runtime.n_positions == 30
    with pytest.raises(IndexError):
        runtime.step(10**6)
    torch.testing.assert_close(
        runtime.verify(ids[30:]), wanted(model, text(ids))[30:], atol=EXACT, rtol=EXACT
    )


def test_a_halt_keeps_what_was_read(model: PreTrainedModel) -> None:
    ids = ids_of(3 * CPU_CHUNK)
    runtime = FastRuntime(model, Weights.PLAIN)
    answers = iter([None, StopReason.CANCELLED])
    assert runtime.prefill(text(ids), lambda: next(answers)) is StopReason.CANCELLED
    assert runtime.n_positions == CPU_CHUNK
    assert runtime.rewind(ids) == CPU_CHUNK
    torch.testing.assert_close(read(runtime, text(ids)), wanted(model, text(ids))[-1], atol=EXACT, rtol=EXACT)


SIZES = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "initializer_range": 0.2,
}


def made(config_type: type, model_type: type, **changes: object) -> PreTrainedModel:
    torch.manual_seed(0)
    built: PreTrainedModel = model_type(config_type(**{**SIZES, **changes})).eval()
    return built


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True},
        {"head_dim": 32, "num_key_value_heads": 4},
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}},
        {"rms_norm_eps": 0.5},
    ],
    ids=["untied with biases", "wide heads, none shared", "stretched positions", "a high floor"],
)
def test_layouts_of_llama(changes: dict[str, object]) -> None:
    model = made(LlamaConfig, LlamaForCausalLM, **changes)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "norm" in name:
            parameter.data.normal_(1.0, 0.3)
    ids = ids_of(40)
    runtime = FastRuntime(model, Weights.PLAIN)
    torch.testing.assert_close(runtime.verify(ids), wanted(model, text(ids)), atol=EXACT, rtol=EXACT)


def test_mistral_without_a_window() -> None:
    model = made(MistralConfig, MistralForCausalLM, sliding_window=None)
    ids = ids_of(40)
    runtime = FastRuntime(model, Weights.PLAIN)
    torch.testing.assert_close(runtime.verify(ids), wanted(model, text(ids)), atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("count", [-1, 4])
def test_more_than_was_read_cannot_be_dropped(model: PreTrainedModel, count: int) -> None:
    runtime = FastRuntime(model, Weights.PLAIN)
    runtime.verify((1, 2, 3))
    with pytest.raises(ValueError, match=f"asked to drop {count} of 3 positions"):
        runtime.drop(count)
    with pytest.raises(ValueError, match="give at least one"):
        runtime.verify(())
    assert runtime.n_positions == 3

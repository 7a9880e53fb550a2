"""Which models the CPU runtime takes, and why it refuses the others."""

from pathlib import Path

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from model.runtime.fast_runtime import FastRuntime
from tests.tiny_models import load_tiny_model

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_it_takes_the_families_of_the_catalogue(tmp_path: Path, family: str) -> None:
    assert FastRuntime.supports(load_tiny_model(tmp_path, family).model) is None


def test_it_takes_mistral_only_without_a_window() -> None:
    assert FastRuntime.supports(MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None))) is None
    windowed = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=16))
    assert FastRuntime.supports(windowed) == "its attention looks through a sliding window"


def test_it_says_why_not() -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2))
    assert FastRuntime.supports(gpt2) == "its family is gpt2, not one of llama, mistral, qwen2"
    gelu = LlamaForCausalLM(LlamaConfig(**SIZES, hidden_act="gelu"))
    assert FastRuntime.supports(gelu) == "its activation is gelu, not silu"
    half = LlamaForCausalLM(LlamaConfig(**SIZES)).to(torch.float16)
    assert FastRuntime.supports(half) == "its numbers are torch.float16, not float32 or bfloat16"
    windowed = Qwen2ForCausalLM(
        Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=16, max_window_layers=1)
    )
    assert FastRuntime.supports(windowed) == "its attention looks through a sliding window"
    stretching = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    dynamic = LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=stretching))
    assert FastRuntime.supports(dynamic) == "its rotary positions are dynamic"
    wrapped = LlamaForCausalLM(LlamaConfig(**SIZES))
    wrapped.model.layers[1].mlp.up_proj = torch.nn.utils.parametrizations.weight_norm(
        wrapped.model.layers[1].mlp.up_proj
    )
    assert "not a plain matrix" in (FastRuntime.supports(wrapped) or "")


def test_a_model_that_it_does_not_take_is_an_error() -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2))
    with pytest.raises(ValueError, match="gpt2 cannot run in the CPU runtime: its family is gpt2"):
        FastRuntime(gpt2)

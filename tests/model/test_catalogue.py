"""Names, licences and the fill-in-the-middle tokens of each family."""

import pytest

from model.catalogue import (
    CATALOGUE,
    CODEGEMMA_FIM,
    CODELLAMA_FIM,
    CODESTRAL_FIM,
    DEEPSEEK_FIM,
    EMBEDDED_DEFAULT,
    GRANITE4_FIM,
    GRANITE_FIM,
    MELLUM_FIM,
    QWEN_FIM,
    STARCODER2_FIM,
    fim_for,
    find_spec,
    names_near,
)
from model.protocols import FimOrder, FimTemplate


@pytest.mark.parametrize(
    ("model_type", "name", "expected"),
    [
        ("qwen2", "Qwen/Qwen2.5-Coder-0.5B", QWEN_FIM),
        ("qwen2", "Qwen2.5 Coder 7B Instruct", QWEN_FIM),
        ("starcoder2", "bigcode/starcoder2-3b", STARCODER2_FIM),
        ("starcoder2", "my-finetune", STARCODER2_FIM),
        ("gpt_bigcode", "bigcode/tiny_starcoder_py", STARCODER2_FIM),
        ("llama", "deepseek-ai/deepseek-coder-1.3b-base", DEEPSEEK_FIM),
        ("deepseek_v2", "deepseek-ai/DeepSeek-Coder-V2-Lite-Base", DEEPSEEK_FIM),
        ("llama", "codellama/CodeLlama-7b-hf", CODELLAMA_FIM),
        ("llama", "CodeLlama-13b-Instruct-hf", CODELLAMA_FIM),
        ("gemma", "google/codegemma-2b", CODEGEMMA_FIM),
        ("llama", "ibm-granite/granite-3b-code-base-2k", GRANITE_FIM),
        ("granite", "ibm-granite/granite-3.3-8b-base", GRANITE_FIM),
        ("granitemoehybrid", "ibm-granite/granite-4.0-h-350m", GRANITE4_FIM),
        ("mistral", "mistralai/Codestral-22B-v0.1", CODESTRAL_FIM),
        ("llama", "JetBrains/Mellum-4b-base", MELLUM_FIM),
    ],
)
def test_families_that_fill_in_the_middle(model_type: str, name: str, expected: FimTemplate) -> None:
    assert fim_for(model_type, name) == expected


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("llama", "SmolLM2-135M-Instruct"),
        ("qwen2", "Qwen/Qwen2.5-7B"),  # has the tokens in its vocabulary, was not taught their use
        ("llama", "codellama/CodeLlama-34b-hf"),
        ("llama", "codellama/CodeLlama-7b-Python-hf"),
        ("gemma", "google/codegemma-7b-it"),
        ("granite", "ibm-granite/granite-3.0-2b-base"),
        ("mamba2", "mistralai/Mamba-Codestral-7B-v0.1"),
        ("", ""),
    ],
)
def test_models_that_were_not_taught_get_no_template(model_type: str, name: str) -> None:
    assert fim_for(model_type, name) is None


def test_orders_are_those_of_the_families() -> None:
    suffix_first = {"codestral": CODESTRAL_FIM, "mellum": MELLUM_FIM}
    assert all(template.order is FimOrder.SUFFIX_PREFIX for template in suffix_first.values())
    assert CODESTRAL_FIM.middle == ""
    assert QWEN_FIM.order is FimOrder.PREFIX_SUFFIX


def test_deepseek_tokens_use_the_full_width_bar() -> None:
    assert DEEPSEEK_FIM.prefix == "<\uff5cfim\u2581begin\uff5c>"
    assert CODELLAMA_FIM.middle == "\u2581<MID>"


def test_catalogue_is_consistent() -> None:
    assert len({spec.name for spec in CATALOGUE}) == len(CATALOGUE)
    for spec in CATALOGUE:
        assert (spec.wheel is None) != (spec.repository is None)
        assert spec.size_bytes > 0
        assert spec.download_bytes > 0
        if spec.repository:
            assert fim_for("qwen2", spec.repository) == spec.fim


def test_only_the_3b_restricts_its_use() -> None:
    assert [spec.name for spec in CATALOGUE if not spec.free_to_use] == ["qwen2.5-coder-3b"]
    restricted = find_spec("qwen2.5-coder-3b")
    assert restricted is not None
    assert "Qwen Research" in restricted.licence


def test_specs_are_found_by_name_and_by_hub_id() -> None:
    by_name = find_spec(EMBEDDED_DEFAULT)
    assert by_name is not None
    assert by_name.size_bytes == 98_362_432
    assert find_spec("qwen/qwen2.5-coder-0.5b") is find_spec("Qwen2.5-Coder-0.5B")
    assert find_spec("qwen2.5-coder") is None


def test_near_names() -> None:
    assert names_near("qwen2.5-coder-05b")[0] == "qwen2.5-coder-0.5b"
    assert names_near("smollm") == ["smollm2-135m"]
    assert names_near("zzzz") == []

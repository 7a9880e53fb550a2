"""Arms by name."""

from __future__ import annotations

import pytest

from hef_lsp.evaluation.arms import Arm, UnknownArm, arm_of, arms_of
from hef_lsp.settings import LEAST_SHARED_DENSE, ContextMode, Settings


def test_an_arm_is_a_mode_with_and_without_memory() -> None:
    context = arm_of("text+memory").settings().context
    assert (context.mode, context.memory) == (ContextMode.TEXT, True)
    assert not arm_of("dense").settings().context.memory
    assert arm_of("graph").settings().context.mode is ContextMode.TEXT
    assert arm_of("leaves").settings().context.mode is ContextMode.DENSE
    assert arm_of("random").is_dense and arm_of("leaves").is_dense and not arm_of("iterative").is_dense
    assert arm_of("iterative").n_rounds == 2 and arm_of("text").n_rounds == 1


def test_a_budget_is_of_pseudo_tokens_or_of_snippets() -> None:
    usual = Settings().context
    dense, text = arm_of("dense:0").settings().context, arm_of("text:256+memory").settings().context
    assert (dense.pseudo_tokens, dense.text_tokens) == (0, usual.text_tokens)
    assert (text.pseudo_tokens, text.text_tokens, text.memory) == (usual.pseudo_tokens, 256, True)


def test_the_adapter_is_there_unless_plain() -> None:
    assert arm_of("text+memory+plain") == Arm("text+memory+plain", "text", None, memory=True, plain=True)
    assert not arm_of("text+lora").plain


def test_a_sure_arm_tells_only_what_is_like_the_cursor() -> None:
    assert arm_of("text").settings().context.least_shared == 0
    assert arm_of("dense").settings().context.least_shared == 0
    sure = arm_of("leaves+memory+sure").settings().context
    assert (sure.least_shared, sure.memory, sure.mode) == (LEAST_SHARED_DENSE, True, ContextMode.DENSE)


def test_a_block_is_asked_for_where_the_target_is_one() -> None:
    assert arm_of("none").settings(is_multiline=True).completion.multiline
    assert not arm_of("none").settings().completion.multiline


@pytest.mark.parametrize(
    "name",
    ["auto", "nothing", "text+", "text+more", "none:8", "dense:-1", "dense:9999", "text+lora+plain", ""],
)
def test_others_are_unknown(name: str) -> None:
    with pytest.raises(UnknownArm, match="there is no arm"):
        arm_of(name)


def test_several_names() -> None:
    assert [arm.name for arm in arms_of(" none, dense:8+memory,,")] == ["none", "dense:8+memory"]

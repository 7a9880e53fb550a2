"""How likely the wanted line is under each kind of context: what context is worth, before greedy decoding.

Owns the arms over rows of `hef-lsp train rows` (masked, with what the product's search found), read by the
product's own generator, fuser and projector. Exact matches are `hef_lsp.evaluation.runner`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn.functional import cross_entropy

from hef_lsp.evaluation.arms import Arm, UnknownArm
from hef_lsp.settings import ContextSettings
from model.bundle import ModelBundle
from model.evaluation.metrics import Mean, mean_of, paired_difference
from model.generator import HfGenerator
from model.prompt import PromptLimits, PromptPlan, Snippet, build_prompt
from model.protocols import FloatArray, Prompt
from model.training.assessment import AssessmentRow

COMMENT = "#"
TARGET_CHARS = 400
KINDS = ("none", "text", "dense", "random")


@dataclass(frozen=True)
class LikelihoodPlan:
    """`settings` says how much is told where an arm names no budget."""

    models: ModelBundle
    arms: Sequence[Arm]
    settings: ContextSettings

    def __post_init__(self) -> None:
        for arm in self.arms:
            if arm.kind not in KINDS or arm.memory or arm.plain:
                raise UnknownArm(
                    f"the likelihood under {arm.name!r} cannot be had; known: {', '.join(KINDS)} and budgets"
                )


def likelihoods(
    rows: Sequence[AssessmentRow], plan: LikelihoodPlan, advance: Callable[[], object]
) -> dict[str, Any]:
    """By benchmark and arm: nats a token with their interval, what they are less than those of ``none``,
    and the recovery, which is the part of text's gain. All arms see the same hits."""
    nats: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        of_row = nats.setdefault(row.benchmark, {})
        for arm in plan.arms:
            of_row.setdefault(arm.name, []).append(_nats(row, arm, plan))
        advance()
    return {name: {arm: _figures(found, arm) for arm in found} for name, found in nats.items()}


def _nats(row: AssessmentRow, arm: Arm, plan: LikelihoodPlan) -> float:
    generator = cast(HfGenerator, plan.models.generator)
    generator.forget()
    read = generator.read_along(_prompt(row, arm, plan), row.target[:TARGET_CHARS])
    return float(cross_entropy(read.logits, torch.tensor(read.token_ids)))


def _prompt(row: AssessmentRow, arm: Arm, plan: LikelihoodPlan) -> Prompt:
    settings, generator = arm.settings().context, plan.models.generator
    settings = settings if arm.budget is not None else plan.settings
    shown = () if arm.kind == "none" else (row.foreign if arm.kind == "random" else row.hits)
    snippets = tuple(Snippet(path, text, COMMENT) for path, text in shown[: settings.hits])
    rows = _pseudo_tokens(snippets, settings.pseudo_tokens, plan.models) if arm.is_dense else None
    prompt = PromptPlan(
        row.prefix, "", row.path, COMMENT, snippets if arm.kind == "text" else (), pseudo_tokens=rows
    )
    limits = PromptLimits(
        settings.prefix_tokens, 0, settings.text_tokens, generator.context_window, reserve=TARGET_CHARS
    )
    return build_prompt(prompt, limits, generator.tokenizer, None).prompt


def _pseudo_tokens(snippets: Sequence[Snippet], budget: int, models: ModelBundle) -> FloatArray:
    assert models.fuser is not None
    assert models.projector is not None
    vectors = models.fuser.encode([snippet.text for snippet in snippets])
    return models.projector.project(vectors, [0] * len(snippets), budget)


def _figures(found: dict[str, list[float]], arm: str) -> dict[str, Any]:
    figures: dict[str, Any] = {"nats": _interval(mean_of(found[arm])), "n": len(found[arm])}
    if "none" in found and arm != "none":
        figures["less_than_none"] = _interval(paired_difference(found["none"], found[arm]))
    gain = _gain(found, "text") if "text" in found and "none" in found else 0.0
    if gain > 0 and arm not in ("none", "text"):
        figures["recovery"] = _gain(found, arm) / gain
    return figures


def _gain(found: dict[str, list[float]], arm: str) -> float:
    return mean_of(found["none"]).value - mean_of(found[arm]).value


def _interval(mean: Mean) -> list[float]:
    return [mean.value, mean.low, mean.high]

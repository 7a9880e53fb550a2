"""What drafts save: each prompt of a benchmark decoded with and without them, in turn, by the same weights.

Owns the comparison. Rows and prompts are the evaluation's (`hef_lsp.evaluation.runner`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from hef_lsp.bench.figures import Report
from hef_lsp.evaluation.arms import Arm
from hef_lsp.evaluation.runner import RunPlan, run_rows
from model.delegating_generator import DelegatingGenerator
from model.evaluation.benchmarks import BenchmarkRow
from model.generator import HfGenerator
from model.protocols import CancelSignal, Generation, Prompt, StopRule

if TYPE_CHECKING:
    from model.bundle import ModelBundle


class NoDrafts(Exception):
    """The model's session cannot verify several tokens in one pass."""


@dataclass(frozen=True)
class Pair:
    """One prompt, decoded both ways."""

    drafted: Generation
    plain: Generation


class Comparing(DelegatingGenerator):
    """A generator that answers with drafts, and notes in `pairs` what it takes without them."""

    def __init__(self, drafted: HfGenerator) -> None:
        super().__init__(drafted)
        self.plain = drafted.without_drafts()
        self.pairs: list[Pair] = []

    def generate(
        self,
        prompt: Prompt,
        rule: StopRule,
        cancel: CancelSignal,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """Which goes first changes from prompt to prompt, as a noisy machine may favour either."""
        order = [self.of, self.plain] if len(self.pairs) % 2 else [self.plain, self.of]
        answers = {}
        for generator in order:
            generator.forget()
            answers[generator] = generator.generate(prompt, rule, cancel, None)
        self.pairs.append(Pair(answers[self.of], answers[self.plain]))
        return answers[self.of]


def measure_drafts(
    rows: Sequence[BenchmarkRow],
    sources: Path,
    models: ModelBundle,
    arms: Sequence[Arm],
    on_answer: Callable[[], None],
) -> Report:
    """By arm; raises NoDrafts."""
    generator = models.generator
    if not isinstance(generator, HfGenerator) or not generator.drafts:
        raise NoDrafts(f"{generator.model_id} is not run by the CPU runtime, which alone verifies drafts")
    report: Report = {}
    for arm in arms:
        comparing = Comparing(generator)
        plan = RunPlan([arm], replace(models, generator=comparing), lambda: models)
        for _ in run_rows(rows, sources, plan):
            on_answer()
        report[arm.name] = figures_of(comparing.pairs)
    return report


def figures_of(pairs: Sequence[Pair]) -> Report:
    """Tokens a pass, decoding time a token, and the ratio of the whole times without and with drafts."""
    drafted, plain = [pair.drafted for pair in pairs], [pair.plain for pair in pairs]
    n_tokens = sum(len(one.token_ids) for one in drafted)
    ms, plain_ms = (sum(one.decode_ms for one in side) for side in (drafted, plain))
    ratios = [b.decode_ms / a.decode_ms for a, b in zip(drafted, plain, strict=True) if a.decode_ms > 0]
    return {
        "prompts": len(pairs),
        "same": sum(pair.drafted.token_ids == pair.plain.token_ids for pair in pairs),
        "tokens": n_tokens,
        "tokens_a_pass": _ratio(n_tokens, sum(one.n_forwards for one in drafted)),
        "tokens_a_pass_without": _ratio(n_tokens, sum(one.n_forwards for one in plain)),
        "ms_a_token": _ratio(ms, n_tokens),
        "ms_a_token_without": _ratio(plain_ms, n_tokens),
        "wall_ratio": _ratio(plain_ms, ms),
        "wall_ratio_median": round(float(np.median(ratios)), 3) if ratios else 0.0,
    }


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole else 0.0


def drafts_table(report: Report) -> Table:
    """One row an arm."""
    table = Table(title="decoding with drafts and without, the same prompts and weights")
    table.add_column("arm")
    columns = ("prompts", "same answer", "tokens a pass", "without", "ms a token", "without")
    for column in (*columns, "times as fast", "median"):
        table.add_column(column, justify="right")
    for arm, figures in report.items():
        table.add_row(
            arm,
            str(figures["prompts"]),
            str(figures["same"]),
            *(f"{figures[name]:.2f}" for name in ("tokens_a_pass", "tokens_a_pass_without")),
            *(f"{figures[name]:.1f}" for name in ("ms_a_token", "ms_a_token_without")),
            *(f"{figures[name]:.2f}" for name in ("wall_ratio", "wall_ratio_median")),
        )
    return table

"""Answers to figures: means with intervals by arm, by subset, differences between arms.

Owns the shape of the JSON that `hef-lsp eval` writes. Scores are `model.evaluation.metrics`; tables, pages
and plots are `hef_lsp.evaluation.pages` and `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hef_lsp.bench.figures import Report, percentiles
from hef_lsp.evaluation.arms import NONE, TEXT
from hef_lsp.evaluation.runner import ArmResult
from model.evaluation.benchmarks import BenchmarkRow
from model.evaluation.metrics import Score, Scorer, mean_of, paired_difference, score, sign_test

FIGURES = ("em", "es", "id_em", "id_f1")
HARM = 0.1
"""A row is harmed by an arm whose answer is less like the target, by so much, than that without context."""
N_SIZES = 5
"""Groups of rows by the size of their repository."""


@dataclass(frozen=True)
class _Scored:
    result: ArmResult
    score: Score


Scored = Mapping[str, Mapping[str, _Scored]]
"""Arm to task to answer."""


def report_of(
    scorer: Scorer,
    rows: Sequence[BenchmarkRow],
    results: Sequence[ArmResult],
    arms: Sequence[str],
    against: Sequence[str] = (),
) -> Report:
    """``{"arms": {arm: figures}, "differences": {"a - b": ...}, …}``; arms without answers are left out.

    Differences are to the first arm, of each arm with exact memory to the same without, and of all arms to
    those of `against`.
    """
    targets = {row.task_id: row.target for row in rows}
    scored: dict[str, dict[str, _Scored]] = {arm: {} for arm in arms}
    for result in results:
        if result.arm in scored and result.task_id in targets:
            found = score(scorer, targets[result.task_id], result.prediction)
            scored[result.arm][result.task_id] = _Scored(result, found)
    present = [arm for arm in arms if scored[arm]]
    pairs = _pairs(present, against)
    return {
        "arms": {arm: _figures(scored[arm]) | _against_none(scored, arm) for arm in present},
        "differences": {f"{arm} - {base}": _difference(scored, arm, base) for arm, base in pairs},
        "by_size": {arm: _by_size(scored[arm]) for arm in present},
    }


def _pairs(present: Sequence[str], against: Sequence[str]) -> list[tuple[str, str]]:
    """Which arms are compared, each two of them once."""
    bases = [*present[:1], *(base for base in against if base in present)]
    wanted = [(arm, base) for base in bases for arm in present]
    wanted += [(arm, without) for arm in present if (without := _without_memory(arm)) in present]
    pairs: list[tuple[str, str]] = []
    for arm, base in wanted:
        if arm != base and (arm, base) not in pairs and (base, arm) not in pairs:
            pairs.append((arm, base))
    return pairs


def _without_memory(arm: str) -> str:
    return arm.replace("+memory", "") if "+memory" in arm else ""


def _figures(answers: Mapping[str, _Scored]) -> Report:
    figures: Report = {"n": len(answers)}
    for name in FIGURES:
        mean = mean_of([getattr(one.score, name) for one in answers.values()])
        figures[name] = round(mean.value, 4)
        figures[f"{name}_interval"] = [round(mean.low, 4), round(mean.high, 4)]
    figures["latency_ms"] = percentiles([one.result.latency_ms for one in answers.values()])
    warm = [one.result.warm_ms for one in answers.values() if one.result.warm_ms]
    if warm:
        figures["warm_ms"] = percentiles(warm)
    subsets = {"copied": True, "new": False}
    return figures | {name: _subset(answers, copied) for name, copied in subsets.items()}


def _subset(answers: Mapping[str, _Scored], copied: bool) -> Report:
    """Of the rows whose target stands elsewhere in the repository, or of the others."""
    chosen = [one.score for one in answers.values() if one.result.copied is copied]
    if not chosen:
        return {"n": 0, "em": 0.0, "es": 0.0}
    means = {name: round(mean_of([getattr(one, name) for one in chosen]).value, 4) for name in ("em", "es")}
    return {"n": len(chosen)} | means


def _against_none(scored: Scored, arm: str) -> Report:
    """``harm``, the share of rows made worse, and ``recovery``, the part of text's gain that the arm has."""
    base, text = scored.get(NONE), scored.get(TEXT)
    if arm == NONE or not base:
        return {}
    common = scored[arm].keys() & base.keys()
    harmed = [_is_harmed(scored, arm, task) for task in common]
    figures: Report = {"harm": round(sum(harmed) / len(harmed), 4)} if harmed else {}
    if text and arm != TEXT:
        figures["recovery"] = {name: _recovery(scored, arm, name) for name in ("em", "es")}
    return figures


def _is_harmed(scored: Scored, arm: str, task: str) -> bool:
    return scored[NONE][task].score.es - scored[arm][task].score.es > HARM


def _recovery(scored: Scored, arm: str, name: str) -> float | None:
    """(arm - none) / (text - none) on the rows of all three; None where text gains nothing."""
    common = scored[arm].keys() & scored[NONE].keys() & scored[TEXT].keys()
    of = {one: sum(getattr(scored[one][task].score, name) for task in common) for one in (arm, NONE, TEXT)}
    gain = of[TEXT] - of[NONE]
    return round((of[arm] - of[NONE]) / gain, 3) if gain > 0 else None


def _difference(scored: Scored, arm: str, base: str) -> Report:
    """On the rows that both answered; of harm, on those of them that were answered without context, too."""
    common = sorted(scored[arm].keys() & scored[base].keys())
    if not common:
        return {"n": 0}
    differences = {
        name: paired_difference(
            [getattr(scored[arm][task].score, name) for task in common],
            [getattr(scored[base][task].score, name) for task in common],
        )
        for name in FIGURES
    }
    judged = [task for task in common if task in scored.get(NONE, ())]
    if judged and NONE not in (arm, base):
        of_arm, of_base = ([_is_harmed(scored, side, task) for task in judged] for side in (arm, base))
        differences["harm"] = paired_difference(of_arm, of_base)
    right = {side: {task for task in common if scored[side][task].score.em} for side in (arm, base)}
    counts = {"wins": len(right[arm] - right[base]), "losses": len(right[base] - right[arm])}
    p = {"p": round(sign_test(counts["wins"], counts["losses"]), 4)}
    return {"n": len(common)} | counts | p | {name: asdict(mean) for name, mean in differences.items()}


def _by_size(answers: Mapping[str, _Scored]) -> list[Report]:
    """Groups of rows, by how many chunks their repository has: the median of both, and how many rows."""
    ordered = sorted((one.result for one in answers.values()), key=lambda result: result.n_chunks)
    groups = [group for group in np.array_split(np.arange(len(ordered)), N_SIZES) if len(group)]
    return [
        {
            "n": len(group),
            "chunks": float(np.median([ordered[place].n_chunks for place in group])),
            "p50_ms": round(float(np.median([ordered[place].latency_ms for place in group])), 1),
        }
        for group in groups
    ]

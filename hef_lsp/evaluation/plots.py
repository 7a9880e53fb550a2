"""Reports as pictures: exactness against time and budget, differences, harm, time by the repository's size.

Owns what is drawn. matplotlib is asked for when a picture is wanted, and only then.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from hef_lsp.bench.figures import Report
from hef_lsp.evaluation.arms import NONE, arm_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (6.4, 3.8)


class NoPlots(Exception):
    """matplotlib is missing; the message says how to have it."""


def pictures_of(run: Report) -> list[str]:
    """SVG elements. Raises NoPlots."""
    drawn = [_picture(_exactness_against_time, run)]
    if _budgets(run):
        drawn.append(_picture(_exactness_against_budget, run))
    if run["differences"]:
        drawn.append(_picture(_differences, run))
    if any("harm" in figures for figures in run["arms"].values()):
        drawn.append(_picture(_harm, run))
    return [*drawn, _picture(_time_against_size, run)]


def _picture(draw: Any, run: Report) -> str:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NoPlots("pictures need matplotlib: install hef-lsp with its extra, hef-lsp[eval]") from error
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.add_subplot()
    draw(axes, run)
    axes.grid(alpha=0.3)
    file = io.StringIO()
    # The same figures give the same file: no date, and names that do not change.
    with rc_context({"svg.hashsalt": "hef-lsp", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", file.getvalue(), count=1, flags=re.DOTALL)


def _exactness_against_time(axes: Axes, run: Report) -> None:
    for arm, figures in run["arms"].items():
        error = _to_both_sides(figures["em"], *figures["em_interval"])
        axes.errorbar([figures["latency_ms"]["p50"]], [figures["em"]], yerr=error, fmt="o", label=arm)
    axes.set(xlabel="median time of a cold answer, ms", ylabel="exact match", ylim=(0, None), xlim=(0, None))
    axes.legend(fontsize="small")


def _to_both_sides(value: float, low: float, high: float) -> list[list[float]]:
    """As matplotlib wants it: distances, below and above."""
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _budgets(run: Report) -> dict[str, list[tuple[int, float]]]:
    """Kinds of arm, each with its budgets and exact match; no budget at all is the arm without context."""
    points: dict[str, list[tuple[int, float]]] = {}
    for name, figures in run["arms"].items():
        arm = arm_of(name)
        if arm.budget is not None:
            key = name.replace(f":{arm.budget}", "")
            points.setdefault(key, []).append((arm.budget, figures["em"]))
    for key, known in points.items():
        base = run["arms"].get(key.replace(arm_of(key).kind, NONE, 1))
        known += [(0, base["em"])] if base else []
        known.sort()
    return points


def _exactness_against_budget(axes: Axes, run: Report) -> None:
    """Other arms with context are lines across, to compare with."""
    for name, points in _budgets(run).items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    for number, (name, figures) in enumerate(run["arms"].items()):
        if arm_of(name).budget is None and arm_of(name).kind != NONE:
            axes.axhline(figures["em"], color=f"C{number}", linestyle="--", label=name)
    axes.set(xlabel="budget, tokens", ylabel="exact match", ylim=(0, None))
    axes.legend(fontsize="small")


def _differences(axes: Axes, run: Report) -> None:
    """Of edit similarity, each with its interval; the first at the top."""
    changes = {name: change["es"] for name, change in run["differences"].items() if change["n"]}
    for place, change in enumerate(changes.values()):
        error = _to_both_sides(**change)
        axes.errorbar([change["value"]], [place], xerr=error, fmt="o", color="C0")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel="difference in edit similarity", yticks=range(len(changes)), yticklabels=list(changes))
    axes.invert_yaxis()


def _harm(axes: Axes, run: Report) -> None:
    """Beside what an arm gains: it may buy the one with the other."""
    for name, figures in run["arms"].items():
        axes.plot([figures["es"]], [figures.get("harm", 0.0)], marker="o", linestyle="", label=name)
    axes.set(xlabel="edit similarity", ylabel="answers made worse (harm)", ylim=(0, None))
    axes.legend(fontsize="small")


def _time_against_size(axes: Axes, run: Report) -> None:
    for arm, groups in run["by_size"].items():
        points = [(group["chunks"], group["p50_ms"]) for group in groups]
        axes.plot(*zip(*points, strict=True), marker="o", label=arm)
    axes.set(xlabel="chunks in the repository", ylabel="median time of a cold answer, ms", ylim=(0, None))
    axes.set_xscale("symlog", linthresh=1)
    axes.legend(fontsize="small")

"""How a prediction is scored, as each benchmark defines it, and how sure a mean is.

Owns exact match, edit similarity, identifiers and bootstrap intervals. Rows are
`model.evaluation.benchmarks`.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
N_RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """Of one row: exact match (0 or 1), edit similarity, exact match and F1 of identifiers, all 0 to 1."""

    em: float
    es: float
    id_em: float
    id_f1: float


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


Scorer = Callable[[str, str], tuple[float, float]]
"""Target and prediction to exact match and edit similarity."""


def repocoder(target: str, prediction: str) -> tuple[float, float]:
    """RepoEval (RepoCoder's `compute_score`): stripped non-empty lines, as many as the target has."""
    wanted = [line.strip() for line in target.splitlines() if line.strip()]
    said = [line.strip() for line in prediction.splitlines() if line.strip()][: len(wanted)]
    one, other = "\n".join(wanted), "\n".join(said)
    longest = max(len(one), len(other))
    return float(wanted == said), 1 - Levenshtein.distance(one, other) / longest if longest else 1.0


def crosscodeeval(target: str, prediction: str) -> tuple[float, float]:
    """CrossCodeEval: the first line that says anything, stripped; Levenshtein ratio."""
    said = next((line for line in prediction.splitlines() if line.strip()), "").strip()
    return float(target.strip() == said), fuzz.ratio(target.strip(), said) / 100


def repobench(target: str, prediction: str) -> tuple[float, float]:
    """RepoBench: equal word for word; `fuzz.ratio` of the first lines."""
    said = next((line for line in prediction.splitlines() if line.strip()), "")
    return float(target.split() == said.split()), fuzz.ratio(target, said) / 100


def score(scorer: Scorer, target: str, prediction: str) -> Score:
    """All figures of one row."""
    em, es = scorer(target, prediction)
    wanted, said = identifiers(target), identifiers(prediction)
    common = sum(min(wanted.count(name), said.count(name)) for name in set(wanted))
    f1 = 2 * common / (len(wanted) + len(said)) if wanted or said else 1.0
    return Score(em, es, float(wanted == said), f1)


def identifiers(text: str) -> list[str]:
    """The names in a text, in order, without Python's own words."""
    return [name for name in _IDENTIFIER.findall(text) if not keyword.iskeyword(name)]


def mean_of(values: Sequence[float], seed: int = 0) -> Mean:
    """Raises ValueError for no values."""
    if not values:
        raise ValueError("no values to take the mean of")
    numbers = np.asarray(values, dtype=np.float64)
    source = np.random.default_rng(seed)
    means = source.choice(numbers, (N_RESAMPLES, len(numbers))).mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Mean(float(numbers.mean()), float(low), float(high))


def sign_test(wins: int, losses: int) -> float:
    """The two-sided p of so uneven a split were both alike (McNemar's exact test); 1.0 for no rows."""
    n, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / float(2**n)
    return min(1.0, 2 * tail)


def paired_difference(one: Sequence[float], other: Sequence[float], seed: int = 0) -> Mean:
    """Of two arms on the same rows: the mean of `one` less `other`."""
    return mean_of([a - b for a, b in zip(one, other, strict=True)], seed)

"""The best of a vocabulary's scores, and its shares, against torch's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.protocols import FloatArray
from model.scores import LEAST_LOG_PROB, Distribution, best_of, log_total, scores_of


def drawn(n: int, seed: int, kinds: int) -> FloatArray:
    """`n` scores of up to `kinds` different values."""
    return np.random.default_rng(seed).integers(0, kinds, n).astype(np.float32)


@given(
    n=st.integers(1, 4000),
    most=st.integers(1, 6),
    seed=st.integers(0, 99),
    kinds=st.sampled_from([2, 9, 10**6]),
)
def test_the_best_are_those_of_a_full_sort(n: int, most: int, seed: int, kinds: int) -> None:
    scores = drawn(n, seed, kinds)
    places = best_of(scores, most)
    assert scores[places].tolist() == sorted(scores.tolist(), reverse=True)[:most]
    assert len(set(places)) == min(most, n)


@pytest.mark.parametrize("place", [0, 255, 256, 2559, 2560, 2599])
def test_the_best_is_found_wherever_it_stands(place: int) -> None:
    scores = drawn(2600, 3, 50)
    scores[place] = 99.0
    assert [best_of(scores, most)[0] for most in (1, 2, 5)] == [place] * 3


@pytest.mark.parametrize("scale", [0.0, 1.0, 40.0])
def test_shares_are_torchs(scale: float) -> None:
    logits = torch.randn(3000, generator=torch.Generator().manual_seed(0)) * scale
    said, expected = Distribution.of(scores_of(logits)), logits.log_softmax(0)
    assert torch.allclose(torch.from_numpy(said.log_probs), expected, atol=1e-4)
    assert torch.allclose(torch.from_numpy(said.probs), expected.exp(), atol=1e-6)
    entropy = -float((expected.exp() * expected.clamp(min=LEAST_LOG_PROB)).sum())
    assert said.entropy == pytest.approx(entropy, abs=1e-3)
    assert log_total(scores_of(logits)) == pytest.approx(float(logits.logsumexp(0)), abs=1e-3)


def test_what_may_not_be_said_has_no_share() -> None:
    said = Distribution.of(np.array([0.0, -np.inf, 0.0], dtype=np.float32))
    assert said.probs.tolist() == [0.5, 0.0, 0.5]
    assert said.entropy == pytest.approx(math.log(2))


def test_narrow_numbers_become_wide() -> None:
    scores = scores_of(torch.tensor([1.0, -2.5], dtype=torch.bfloat16))
    assert scores.dtype == np.float32 and scores.tolist() == [1.0, -2.5]

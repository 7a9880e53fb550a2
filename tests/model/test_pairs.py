"""Pairs as they are kept: what packing loses, and what a part of them is."""

import torch

from model.runtime.pairs import MOST, Pairs, packed


def test_packing_loses_half_a_step_at_most() -> None:
    torch.manual_seed(0)
    numbers = torch.randn(3, 4, 50, 16) * torch.logspace(-6, 3, 50)[:, None]
    kept = packed(numbers)
    assert kept.numbers.dtype is torch.int8 and len(kept) == 50
    steps = numbers.abs().amax(dim=-1, keepdim=True) / MOST
    assert bool(((kept.whole() - numbers).abs() <= 0.501 * steps).all())


def test_nothing_stays_nothing() -> None:
    kept = packed(torch.zeros(1, 2, 3, 4))
    assert bool((kept.whole() == 0).all())


def test_a_part_is_that_of_the_whole() -> None:
    numbers = torch.randn(2, 4, 9, 8)
    for pairs in (packed(numbers), Pairs(numbers)):
        part = pairs.between(2, 5)
        assert len(part) == 3
        torch.testing.assert_close(part.whole(), pairs.whole()[:, :, 2:5])
        torch.testing.assert_close(part.between(1, 3).whole(), pairs.whole()[:, :, 3:5])


def test_whole_is_a_copy_where_it_is_scaled() -> None:
    kept = packed(torch.ones(1, 2, 1, 4))
    kept.whole().zero_()
    assert bool((kept.whole() != 0).all())

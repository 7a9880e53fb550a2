"""Pairs of key and value, each of one head: what is kept of a text, and the vectors that it is stored as.

Owns which pairs are the best, and the format. Heads differ: some look at every name of a text, most at next
to nothing of it, so each has as many pairs as it needs and a text has its best ones, whosever they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model.multiples import filled_up
from model.protocols import VECTOR_BLOCK
from model.slot_pairs import SlotPairs
from model.slots.layout import SlotLayout, places_among_equals

N_LISTS = 3
"""Numbers stored beside a pair: its layer plus one (0 where there is none), its head there, its score."""


@dataclass(frozen=True)
class Pairs:
    """T pairs by head, those of a head in the order of their text.

    `heads` ``[T]`` counts through the layers, `numbers` ``[T, 2 S]`` are keys without position, then values;
    `scores` ``[T]`` say how much each was looked at.
    """

    heads: Tensor
    numbers: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.heads)

    def best(self, n_kept: int) -> Pairs:
        """At most `n_kept`, by score, whosever they are."""
        return self._at(self._by_score()[:n_kept].sort().values)

    def best_of_heads(self, n_kept: int) -> Pairs:
        """Of each head at most `n_kept`, by score."""
        by_score = self._by_score()
        return self._at(by_score[places_among_equals(self.heads[by_score]) < n_kept].sort().values)

    def _by_score(self) -> Tensor:
        return self.scores.argsort(descending=True, stable=True)

    def _at(self, places: Tensor) -> Pairs:
        return Pairs(self.heads[places], self.numbers[places], self.scores[places])

    def to_take_over(self, n_heads: int, n_nodes: int) -> SlotPairs:
        """For a prompt, without their scores: of `n_nodes` texts, `n_heads` are all there are."""
        return SlotPairs(self.heads.numpy(), self.numbers.numpy(), n_heads, n_nodes)


def together(parts: Sequence[Pairs]) -> Pairs:
    """All pairs; those of a head in the order of `parts`."""
    whole = Pairs(
        torch.cat([part.heads for part in parts]),
        torch.cat([part.numbers for part in parts]),
        torch.cat([part.scores for part in parts]),
    )
    return whole._at(whole.heads.argsort(stable=True))


def pairs_of(keys_values: Tensor, scores: Tensor) -> Pairs:
    """All that a text has: ``[L, 2 G, n, S]`` and ``[L, G, n]``."""
    n_kv, n = scores.shape[1:]
    keys, values = keys_values.chunk(2, dim=1)
    heads = torch.arange(len(scores) * n_kv).repeat_interleave(n)
    return Pairs(heads, torch.cat([keys, values], dim=-1).flatten(0, 2), scores.flatten())


@dataclass(frozen=True)
class PairFormat:
    """At most `n_pairs` pairs as vectors ``[n_vectors, dimension]``: a pair each, then what is told of them.

    In eight bits, as `indexer.packed` keeps long vectors, layers and heads up to 126 stay exact.
    """

    layout: SlotLayout
    n_pairs: int

    @property
    def dimension(self) -> int:
        return filled_up(2 * self.layout.head_size, VECTOR_BLOCK)

    @property
    def n_vectors(self) -> int:
        return self.n_pairs + N_LISTS * self._n_a_list

    @property
    def _n_a_list(self) -> int:
        return filled_up(self.n_pairs, self.dimension) // self.dimension

    def packed(self, pairs: Pairs) -> Tensor:
        """Vectors, those without a pair zero. Raises ValueError for too many pairs."""
        n_left = self.n_pairs - len(pairs)
        if n_left < 0:
            raise ValueError(f"{len(pairs)} pairs, at most {self.n_pairs} fit")
        layers = pairs.heads.div(self.layout.n_kv_heads, rounding_mode="floor") + 1
        lists = torch.stack([layers, pairs.heads % self.layout.n_kv_heads, pairs.scores])
        numbers = functional.pad(pairs.numbers, (0, self.dimension - pairs.numbers.shape[1], 0, n_left))
        told = functional.pad(lists, (0, self._n_a_list * self.dimension - len(pairs)))
        return torch.cat([numbers, told.reshape(-1, self.dimension)])

    def unpacked(self, vectors: Tensor) -> Pairs:
        """The pairs of vectors ``[n_vectors, dimension]``."""
        lists = vectors[self.n_pairs :].reshape(N_LISTS, -1)[:, : self.n_pairs]
        layers, heads, scores = lists[0].round().long(), lists[1].round().long(), lists[2]
        there = layers > 0
        whole = (layers - 1) * self.layout.n_kv_heads + heads
        numbers = vectors[: self.n_pairs, : 2 * self.layout.head_size]
        return Pairs(whole[there], numbers[there], scores[there])

"""The projector: vectors of retrieved nodes to pseudo-tokens in the generator's input space.

Owns which nodes fit a budget, in which order they stand, and the map D -> H. Retrieval ranks the
nodes before; the generator puts the result before its prompt. Decision record: 0003.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers import fill_normal, tensor_of
from model.protocols import FloatArray

N_LEVELS = 5
"""Chunk, group, file, directory, repository."""


@dataclass(frozen=True)
class ProjectorConfig:
    """Sizes of a projector. `token_norm` is the mean length of the generator's input embeddings."""

    hidden_size: int
    token_norm: float
    n_vectors: int = 8
    dimension: int = 256
    width: int = 1024
    n_ranks: int = 64

    def __post_init__(self) -> None:
        sizes = (self.hidden_size, self.n_vectors, self.dimension, self.width, self.n_ranks)
        if min(sizes) < 1 or not 0 < self.token_norm < math.inf:
            raise ValueError(f"sizes and token_norm of a projector must be positive, got {self}")


@dataclass(frozen=True, eq=False)
class PseudoTokens:
    """``tokens [B, P, H]`` (zeros where absent) and ``mask [B, P]``; what is present stands at the end."""

    tokens: Tensor
    mask: Tensor


def fit_budget(n_vectors: int, budget: int) -> tuple[int, int]:
    """How many whole nodes fit, and how many pseudo-tokens each gives: ``(nodes, per node)``.

    Under one node's M vectors, a single node is kept and its vectors are pooled in equal groups:
    the largest divisor of M within the budget.
    """
    if budget >= n_vectors:
        return budget // n_vectors, n_vectors
    divisors = [size for size in range(1, n_vectors + 1) if n_vectors % size == 0 and size <= budget]
    return (1, divisors[-1]) if divisors else (0, 0)


class HefProjector(nn.Module):
    """Norm, level and rank embeddings, an MLP, and a length like that of the generator's tokens.

    Satisfies `model.protocols.Projector` through `project`; training calls the module itself.
    """

    def __init__(self, config: ProjectorConfig, model_id: str = "hef-unsaved") -> None:
        super().__init__()
        self.config = config
        self.model_id = model_id
        self.norm = nn.RMSNorm(config.dimension, eps=1e-6)
        self.levels = nn.Parameter(torch.empty(N_LEVELS, config.dimension))
        self.ranks = nn.Parameter(torch.empty(config.n_ranks, config.dimension))
        self.inner = nn.Linear(config.dimension, config.width)
        self.outer = nn.Linear(config.width, config.hidden_size)
        self.direct = nn.Linear(config.dimension, config.hidden_size, bias=False)
        self.gain = nn.Parameter(torch.empty(()))

    def reset(self, seed: int) -> None:
        """Untrained values: a random map that keeps likeness, blind to level and rank."""
        with torch.no_grad():
            for zero in (self.levels, self.ranks, self.inner.bias, self.outer.bias):
                zero.zero_()
            for one in (self.norm.weight, self.gain):
                one.fill_(1.0)
        fill_normal(self.inner.weight, self.config.dimension**-0.5, seed, "projector.inner")
        fill_normal(self.outer.weight, self.config.width**-0.5, seed, "projector.outer")
        fill_normal(self.direct.weight, self.config.dimension**-0.5, seed, "projector.direct")

    def forward(self, vectors: Tensor, levels: Tensor, mask: Tensor, budget: int) -> PseudoTokens:
        """``vectors [B, K, M, D]`` best first, ``levels [B, K]``, ``mask [B, K]`` (True = present).

        Masked nodes give nothing, take no rank and no budget. The best node stands last, nearest
        to the code.
        """
        config = self.config
        n_rows, n_nodes, n_vectors, dimension = vectors.shape
        assert (n_vectors, dimension) == (config.n_vectors, config.dimension), f"vectors {vectors.shape}"
        assert levels.shape == mask.shape == (n_rows, n_nodes), f"levels {levels.shape}, mask {mask.shape}"
        n_kept, per_node = fit_budget(n_vectors, budget)
        # Present nodes to the front, order kept; then as many as fit.
        order = (~mask).long().argsort(dim=1, stable=True)[:, :n_kept]
        kept = mask.gather(1, order)
        nodes = torch.arange(n_rows, device=mask.device)[:, None]
        chosen = torch.where(kept[..., None, None], vectors[nodes, order], 0.0).float()
        chosen = self._pooled(chosen, per_node)
        tokens = self._project(chosen, levels[nodes, order])
        tokens = torch.where(kept[..., None, None], tokens, 0.0)
        flat = (n_rows, kept.shape[1] * per_node)
        return PseudoTokens(
            tokens.flip(1).reshape(*flat, config.hidden_size),
            kept.flip(1)[..., None].expand(-1, -1, per_node).reshape(flat),
        )

    @staticmethod
    def _pooled(vectors: Tensor, per_node: int) -> Tensor:
        n_rows, n_nodes, n_vectors, dimension = vectors.shape
        if per_node in (0, n_vectors):
            return vectors[:, :, :per_node]
        return vectors.reshape(n_rows, n_nodes, per_node, n_vectors // per_node, dimension).mean(dim=3)

    def _project(self, vectors: Tensor, levels: Tensor) -> Tensor:
        ranks = torch.arange(vectors.shape[1], device=vectors.device).clamp(max=self.config.n_ranks - 1)
        place = self.levels[levels] + self.ranks[ranks]
        placed = self.norm(vectors) + place[:, :, None]
        outer: Tensor = self.outer(functional.gelu(self.inner(placed))) + self.direct(placed)
        length = self.config.token_norm / math.sqrt(self.config.hidden_size)
        return functional.rms_norm(outer, (self.config.hidden_size,), eps=1e-6) * (length * self.gain)

    @torch.no_grad()
    def project(
        self, vectors: FloatArray, levels: Sequence[int], budget: int, room: int | None = None
    ) -> FloatArray:
        """``[K, M, D]`` of nodes, best first, to ``[P, H]``, worst first; P is at most `budget` and `room`.

        Whole nodes only: P is a multiple of M, except under M, where the best node is pooled.
        """
        n_nodes = len(vectors)
        if n_nodes != len(levels):
            raise ValueError(f"{len(levels)} levels for {n_nodes} nodes: give one level a node")
        if any(not 0 <= level < N_LEVELS for level in levels):
            raise ValueError(f"levels are 0 (chunk) to {N_LEVELS - 1} (repository), got {list(levels)}")
        budget = budget if room is None else min(budget, room)
        if n_nodes == 0 or budget <= 0:
            return np.zeros((0, self.config.hidden_size), dtype=np.float32)
        device = self.gain.device
        pseudo = self(
            tensor_of(vectors, device)[None],
            torch.tensor([list(levels)], device=device),
            torch.ones(1, n_nodes, dtype=torch.bool, device=device),
            budget,
        )
        result: FloatArray = pseudo.tokens[0].float().cpu().numpy()
        return result

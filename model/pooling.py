"""Segments of a chunk pooled to vectors: what a fuser starts from before it has learned anything.

Owns the weighting and the segments. A chunk's tokens are divided into M runs of equal length; each gives
the weighted mean of its centred input embeddings. Rare tokens weigh most (smooth inverse frequency, as in
`model.embedder`), so a run of sixteen tokens keeps its few names apart from its brackets and blanks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.embedder import sif_weights

_EPS = 1e-6


class SegmentPool(nn.Module):
    """Token ids to M pooled vectors; nothing is learned here and nothing saved."""

    def __init__(self, embedding: Tensor, n_vectors: int) -> None:
        super().__init__()
        self.n_vectors = n_vectors
        weights = torch.from_numpy(sif_weights(len(embedding))).to(embedding.device)
        self.register_buffer("weights", weights, persistent=False)
        mean = embedding.detach().float().mean(0) if embedding.device.type != "meta" else embedding[0]
        self.register_buffer("centre", mean, persistent=False)

    def forward(self, ids: Tensor, mask: Tensor, embedded: Tensor) -> Tensor:
        """``ids``, ``mask [N, T]``, ``embedded [N, T, H]`` to ``[N, M, H]`` of unit mean square, float32.

        A run without tokens, of a text of fewer than M, gives zeros.
        """
        assert ids.shape == mask.shape == embedded.shape[:2], f"{ids.shape}, {mask.shape}, {embedded.shape}"
        place = mask.long().cumsum(1) - 1
        length = mask.long().sum(1, keepdim=True).clamp(min=1)
        run = torch.where(mask, place * self.n_vectors // length, -1)
        table: Tensor = self.get_buffer("weights")
        weights = table[ids] * mask
        shares = (run[:, None] == torch.arange(self.n_vectors, device=ids.device)[:, None]) * weights[:, None]
        pooled = shares @ (embedded.float() - self.get_buffer("centre"))
        return pooled * torch.rsqrt(pooled.square().mean(-1, keepdim=True) + _EPS**2)

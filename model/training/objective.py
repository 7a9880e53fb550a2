"""What training makes small: identifier-weighted cross-entropy, and two terms beside it.

Owns the terms and their sum. `structure` keeps pseudo-tokens as like or unlike each other as the chunks are
that they stand for; without it a projector may fall to one point (LlavaCode, arXiv 2510.19644). `kl` draws
the generator that reads vectors to what it says when it reads the text (xRAG, arXiv 2405.13792).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model.training.batches import Batch
from model.training.network import Network

MOST_ROWS = 768
"""Pseudo-tokens whose likeness is compared: the table grows with their square."""


@dataclass(frozen=True)
class Terms:
    """Weights of the terms beside the cross-entropy; 0 leaves one out."""

    structure: float = 0.1
    kl: float = 0.0


def objective(network: Network, batch: Batch, terms: Terms) -> dict[str, Tensor]:
    """``loss`` (what is made small), and each part without its weight: ``ce``, ``structure``, ``kl``."""
    pseudo, n_pseudo = None, None
    if batch.has_nodes:
        pseudo, n_pseudo = network.pseudo_tokens(network.vectors(batch), batch)
    logits = network.target_logits(batch, pseudo, n_pseudo)
    wanted = batch.weights > 0
    weights = batch.weights[wanted]
    total = weights.sum().clamp(min=1.0)
    nats = functional.cross_entropy(logits, batch.targets[wanted], reduction="none")
    parts = {"ce": (nats * weights).sum() / total}
    if terms.structure and pseudo is not None:
        parts["structure"] = structure_loss(*_leaves(pseudo, network.pooled(batch), batch))
    teacher = batch.as_text() if terms.kl else None
    if teacher is not None:
        with torch.no_grad():
            taught = network.target_logits(teacher, None, None)
        parts["kl"] = (divergence(taught, logits) * weights).sum() / total
    weight = {"ce": 1.0, "structure": terms.structure, "kl": terms.kl}
    loss = torch.stack([weight[name] * part for name, part in parts.items()]).sum()
    return {"loss": loss, **parts}


def structure_loss(tokens: Tensor, pooled: Tensor) -> Tensor:
    """Mean squared difference of cosines, of ``tokens [N, H]`` and of ``pooled [N, H]`` among each other.

    0 for fewer than two rows.
    """
    if len(tokens) < 2:
        return tokens.sum() * 0.0
    made, wanted = (functional.normalize(rows.float(), dim=-1) for rows in (tokens, pooled))
    difference: Tensor = (made @ made.T - wanted @ wanted.T).square()
    n = len(tokens)
    return (difference.sum() - difference.diagonal().sum()) / (n * (n - 1))


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student) of logits ``[W, V]``, in nats ``[W]``."""
    known, said = teacher.log_softmax(-1), student.log_softmax(-1)
    return (known.exp() * (known - said)).sum(-1)


def _leaves(pseudo: Tensor, pooled: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Rows ``[N, H]`` of the nodes that are chunks: their pseudo-tokens, and what their tokens say."""
    n_rows, n_nodes, n_vectors, hidden = pooled.shape
    # The best node's tokens stand last, and what is absent stands at the left.
    of_nodes = pseudo.view(n_rows, n_nodes, n_vectors, hidden).flip(1)
    is_leaf = batch.present
    if batch.parent_slots is not None:
        is_leaf = is_leaf & (torch.arange(n_nodes, device=is_leaf.device) != batch.parent_slots[:, None])
    return of_nodes[is_leaf].flatten(0, 1)[:MOST_ROWS], pooled[is_leaf].flatten(0, 1)[:MOST_ROWS]

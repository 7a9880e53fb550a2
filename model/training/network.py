"""The network that is trained: fuser, projector and the generator's adapter, over frozen weights.

Owns how a batch flows: chunks to vectors, vectors to pseudo-tokens, pseudo-tokens before the code,
states where targets are predicted. The fuser reads through the generator's lower layers *with* the
generator's adapter merged in, as at run time, where both share one set of weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.embedder import sif_weights
from model.fuser import FuserConfig
from model.layers import fill_normal
from model.pooling import SegmentPool
from model.projector import HefProjector, ProjectorConfig
from model.training.batches import Batch
from model.training.lean import Block, LeanModel, LowRankLayers, Weights, block, run


@dataclass(frozen=True)
class NetworkConfig:
    """`decoder_rank` 0 leaves the generator as it is."""

    fuser: FuserConfig
    projector: ProjectorConfig
    decoder_rank: int = 32
    decoder_alpha: float = 64.0


FIRST_GAIN = 0.1
"""Of what is not learned yet, beside what is known from the start: pooled input embeddings."""


def _start_from_embedding(fuser: FuserHead, projector: HefProjector, embedding: Tensor) -> None:
    """Vectors begin as the strongest directions of pooled embeddings, pseudo-tokens as what those stand for.

    So the generator reads something like its own tokens from the first step on; a map learned from noise
    took longer than a whole run to say anything (docs/log.md).
    """
    weights = torch.from_numpy(sif_weights(len(embedding))).to(embedding.device)
    rows = (embedding.float() - embedding.float().mean(0)) * weights[:, None]
    basis = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -fuser.lower.out_features :]
    with torch.no_grad():
        fuser.lower.weight.copy_(basis.T)
        fuser.lift.weight.copy_(basis)
        projector.direct.weight.copy_(basis)
        projector.outer.weight.mul_(FIRST_GAIN)


class FuserHead(nn.Module):
    """What a fuser learns beside its adapters; names as in `model.fuser.HefFuser`."""

    def __init__(self, config: FuserConfig, embedding: Tensor) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.pool = SegmentPool(embedding, config.n_vectors)
        self.chunk_memory = nn.Parameter(torch.empty(config.n_vectors, hidden))
        self.parent_memory = nn.Parameter(torch.empty(config.n_vectors, hidden))
        self.slots = nn.Parameter(torch.zeros(config.max_children, hidden))
        self.norm = nn.RMSNorm(hidden, eps=1e-6)
        self.lower = nn.Linear(hidden, config.dimension)
        self.lift = nn.Linear(config.dimension, hidden)
        self.lift_gain = nn.Parameter(torch.tensor(config.token_norm * hidden**-0.5))
        std = config.token_norm * hidden**-0.5
        for name, value, scale in (
            ("fuser.chunk_memory", self.chunk_memory, std),
            ("fuser.parent_memory", self.parent_memory, std),
            ("fuser.lower", self.lower.weight, hidden**-0.5),
            ("fuser.lift", self.lift.weight, config.dimension**-0.5),
        ):
            fill_normal(value, scale, 0, name)
        nn.init.zeros_(self.lower.bias)
        nn.init.zeros_(self.lift.bias)
        with torch.no_grad():
            self.norm.weight.fill_(FIRST_GAIN)


class Network(nn.Module):
    """Everything with gradients, over a `LeanModel` without.

    With `adapts` off the generator's adapter does nothing: alignment comes before it.
    """

    def __init__(self, model: LeanModel, config: NetworkConfig, compute: Block = block) -> None:
        super().__init__()
        self.config = config
        self._model, self._block = model, compute
        self.adapts = True
        fuser = config.fuser
        self.fuser = FuserHead(fuser, model.embedding)
        self.fuser_adapter = LowRankLayers(model.layers[: fuser.n_layers], fuser.lora_rank, fuser.lora_alpha)
        self.projector = HefProjector(config.projector)
        self.projector.reset(0)
        _start_from_embedding(self.fuser, self.projector, model.embedding)
        self.decoder_adapter = (
            LowRankLayers(model.layers, config.decoder_rank, config.decoder_alpha)
            if config.decoder_rank
            else None
        )
        self.to(model.embedding.device)

    @property
    def dtype(self) -> torch.dtype:
        return self._model.embedding.dtype

    def fuser_layers(self) -> tuple[Weights, ...]:
        """The lower layers as the fuser sees them at this step."""
        lower = self._model.layers[: self.config.fuser.n_layers]
        if self.decoder_adapter is None or not self.adapts:
            return lower
        return self.decoder_adapter.merged(lower)

    def _read(self, inputs: Tensor, lengths: Tensor, memory: Tensor, layers: tuple[Weights, ...]) -> Tensor:
        """Inputs ``[N, S, H]``, right-padded with M free places at the end, to states ``[N, M, H]``."""
        n_memory = len(memory)
        places = lengths[:, None] + torch.arange(n_memory, device=lengths.device)
        index = places[..., None].expand(-1, -1, inputs.shape[-1])
        x = inputs.scatter(1, index, memory.to(inputs.dtype).expand(len(inputs), -1, -1))
        pairs = self.fuser_adapter.pairs(self.dtype)
        states = run(self._model, x, layers, pairs, self._block).gather(1, index)
        return states.float()

    def encode(self, ids: Tensor, lengths: Tensor, layers: tuple[Weights, ...]) -> Tensor:
        """Chunks ``[N, T]``, right-padded, with `lengths` ``[N]`` at most T - M, to ``[N, M, D]``."""
        tokens = self._model.embedding[ids]
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        states = self._read(tokens, lengths, self.fuser.chunk_memory, layers)
        vectors: Tensor = self.fuser.lower(self.fuser.norm(states) + self.fuser.pool(ids, mask, tokens))
        return vectors

    def fuse(self, children: Tensor, counts: Tensor, layers: tuple[Weights, ...]) -> Tensor:
        """Children ``[B, C, M, D]``, the first `counts` ``[B]`` of them present, to ``[B, M, D]``."""
        n, n_slots, n_vectors, _ = children.shape
        lifted = self.fuser.lift(children) * self.fuser.lift_gain + self.fuser.slots[:n_slots, None]
        flat = lifted.reshape(n, n_slots * n_vectors, -1).to(self.dtype)
        padded = torch.cat([flat, flat.new_zeros(n, n_vectors, flat.shape[-1])], dim=1)
        states = self._read(padded, counts * n_vectors, self.fuser.parent_memory, layers)
        present = torch.arange(n_slots, device=counts.device) < counts[:, None]
        mean = (children * present[..., None, None]).sum(1) / counts.clamp(min=1)[:, None, None]
        return mean + torch.nn.functional.linear(self.fuser.norm(states), self.fuser.lower.weight)

    def vectors(self, batch: Batch) -> Tensor:
        """The nodes of each row, ``[B, K, M, D]``; a parent stands in the slot that it was given."""
        layers = self.fuser_layers()
        n_rows, n_nodes, _ = batch.chunks.shape
        leaves = self.encode(batch.chunks.flatten(0, 1), batch.chunk_lengths.flatten(), layers)
        nodes = leaves.view(n_rows, n_nodes, *leaves.shape[1:])
        if batch.children is None or batch.child_lengths is None or batch.parent_slots is None:
            return nodes
        n_children = batch.children.shape[1]
        parts = self.encode(batch.children.flatten(0, 1), batch.child_lengths.flatten(), layers)
        parts = parts.view(n_rows, n_children, *parts.shape[1:])
        parents = self.fuse(parts, (batch.child_lengths > 0).sum(1), layers)
        is_parent = torch.arange(n_nodes, device=nodes.device) == batch.parent_slots[:, None]
        return torch.where(is_parent[..., None, None], parents[:, None], nodes)

    def pseudo_tokens(
        self, vectors: Tensor, batch: Batch, budget: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """``[B, P, H]``, what is present at the end, and how many there are in each row ``[B]``.

        P is at most `budget`; without one all nodes' vectors are told.
        """
        budget = vectors.shape[1] * vectors.shape[2] if budget is None else budget
        made = self.projector(vectors, batch.levels, batch.present, budget)
        return made.tokens, made.mask.sum(1)

    def target_states(self, batch: Batch, pseudo: Tensor | None, n_pseudo: Tensor | None) -> Tensor:
        """States ``[B, L, H]`` of the last layer at the places that predict the targets."""
        text = self._model.embedding[batch.ids]
        start = batch.n_prompt
        if pseudo is not None and n_pseudo is not None:
            joined = torch.cat([pseudo.to(text.dtype), text], dim=1)
            skip = pseudo.shape[1] - n_pseudo
            places = (skip[:, None] + torch.arange(joined.shape[1], device=skip.device)).clamp(
                max=joined.shape[1] - 1
            )
            text = joined.gather(1, places[..., None].expand(-1, -1, joined.shape[-1]))
            start = start + n_pseudo
        adapter = self.decoder_adapter if self.adapts else None
        pairs = adapter.pairs(self.dtype) if adapter is not None else []
        states = run(self._model, text, self._model.layers, pairs, self._block)
        wanted = start[:, None] - 1 + torch.arange(batch.targets.shape[1], device=start.device)
        wanted = wanted.clamp(max=text.shape[1] - 1)
        return states.gather(1, wanted[..., None].expand(-1, -1, states.shape[-1]))

    def target_logits(self, batch: Batch, pseudo: Tensor | None, n_pseudo: Tensor | None) -> Tensor:
        """``[W, V]`` at the W places whose targets weigh something, row by row."""
        states = self.target_states(batch, pseudo, n_pseudo)
        return self._model.logits(states[batch.weights > 0]).float()

    def losses(self, batch: Batch, pseudo: Tensor | None, n_pseudo: Tensor | None) -> Tensor:
        """Cross-entropy of each target ``[B, L]``, 0 where there is none."""
        wanted = batch.weights > 0
        logits = self.target_logits(batch, pseudo, n_pseudo)
        flat = torch.nn.functional.cross_entropy(logits, batch.targets[wanted], reduction="none")
        return torch.zeros_like(batch.weights).masked_scatter(wanted, flat)

    def pooled(self, batch: Batch) -> Tensor:
        """What the chunks say by themselves: ``[B, K, M, H]``, pooled token embeddings without gradients."""
        n_rows, n_nodes, length = batch.chunks.shape
        ids, lengths = batch.chunks.flatten(0, 1), batch.chunk_lengths.flatten()
        mask = torch.arange(length, device=ids.device) < lengths[:, None]
        with torch.no_grad():
            found: Tensor = self.fuser.pool(ids, mask, self._model.embedding[ids])
        return found.view(n_rows, n_nodes, *found.shape[1:]).float()

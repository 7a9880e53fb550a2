"""The fuser: chunk texts to M vectors each, and children's vectors to their parent's.

Owns the two forward passes through the generator's lower layers and what is learned around them:
memory tokens, adapters, the maps H -> D and D -> H. Which children belong to a parent is
`indexer.hierarchy`; storing the vectors is `indexer.store`. Decision record: 0003.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers import Adapters, Backbone, fill_normal, tensor_of
from model.pooling import SegmentPool
from model.protocols import NEVER, BoolArray, CancelSignal, FloatArray

CPU_BATCH_POSITIONS = 1088  # eight chunks: measured as fast as any larger batch, and soon over
ACCELERATOR_BATCH_POSITIONS = 34_816
EncodeBatch = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class FuserConfig:
    """Sizes of a fuser: M `n_vectors`, D `dimension`, L `n_layers`, C `max_children`, H `hidden_size`.

    A chunk is cut after `max_tokens` tokens; the chunker makes none of more than 128 except from
    a single longer line. `token_norm` is the mean length of the generator's input embeddings.
    """

    hidden_size: int
    token_norm: float
    n_vectors: int = 8
    dimension: int = 256
    n_layers: int = 6
    max_children: int = 16
    max_tokens: int = 160
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")

    def __post_init__(self) -> None:
        sizes = (self.hidden_size, self.n_vectors, self.dimension, self.n_layers, self.max_children)
        if min(*sizes, self.max_tokens) < 1 or self.lora_rank < 0 or not 0 < self.token_norm < math.inf:
            raise ValueError(f"sizes and token_norm of a fuser must be positive, got {self}")


class HefFuser(nn.Module):
    """The generator's lower layers with adapters, reading into learned memory tokens.

    Its parameters are only what is learned; the backbone is shared with the generator and is no
    part of its state. Satisfies `model.protocols.Fuser` through `encode` and `fuse`; training
    calls `encode_states` and `fuse_states`, which keep gradients.
    """

    def __init__(
        self,
        config: FuserConfig,
        backbone: Backbone,
        encode_batch: EncodeBatch,
        model_id: str = "hef-unsaved",
    ) -> None:
        super().__init__()
        self.config = config
        self.model_id = model_id
        self._backbone = backbone
        self._encode_batch = encode_batch
        hidden = config.hidden_size
        self.chunk_memory = nn.Parameter(torch.empty(config.n_vectors, hidden))
        self.parent_memory = nn.Parameter(torch.empty(config.n_vectors, hidden))
        self.slots = nn.Parameter(torch.empty(config.max_children, hidden))
        self.adapters = Adapters(backbone, config.lora_rank, config.lora_alpha, config.lora_targets)
        self.pool = SegmentPool(backbone.embed_tokens.weight, config.n_vectors)
        self.norm = nn.RMSNorm(hidden, eps=1e-6)
        self.lower = nn.Linear(hidden, config.dimension)
        self.lift = nn.Linear(config.dimension, hidden)
        self.lift_gain = nn.Parameter(torch.empty(()))

    @property
    def n_vectors(self) -> int:
        return self.config.n_vectors

    @property
    def dimension(self) -> int:
        return self.config.dimension

    @property
    def max_children(self) -> int:
        return self.config.max_children

    def reset(self, seed: int) -> None:
        """Untrained values: adapters without effect, memory as long as a token, likeness kept."""
        config = self.config
        token_std = config.token_norm * config.hidden_size**-0.5
        fill_normal(self.chunk_memory, token_std, seed, "fuser.chunk_memory")
        fill_normal(self.parent_memory, token_std, seed, "fuser.parent_memory")
        for name, parameter in self.adapters.named_parameters():
            is_up = name.endswith(".up")
            fill_normal(parameter, 0.0 if is_up else parameter.shape[1] ** -0.5, seed, f"fuser.{name}")
        for name, linear in (("lower", self.lower), ("lift", self.lift)):
            fill_normal(linear.weight, linear.in_features**-0.5, seed, f"fuser.{name}")
            nn.init.zeros_(linear.bias)
        with torch.no_grad():
            self.slots.zero_()
            self.norm.weight.fill_(1.0)
            self.lift_gain.fill_(token_std)  # vectors are of unit size a number, tokens smaller

    def encode_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids ``[N, T]`` with presence ``[N, T]`` (bool) to ``[N, M, D]``, float32, with gradients."""
        assert ids.shape == mask.shape, f"ids {ids.shape}, mask {mask.shape}"
        ids = torch.where(mask, ids, 0)
        tokens = self._backbone.embed_tokens(ids)
        states = self._read(tokens, mask, self.chunk_memory)
        vectors: Tensor = self.lower(self.norm(states) + self.pool(ids, mask, tokens))
        return vectors

    def fuse_states(self, children: Tensor, mask: Tensor) -> Tensor:
        """Children ``[B, C, M, D]`` with presence ``[B, C]`` (bool) to ``[B, M, D]``, with gradients.

        A child's slot is its rank among the present ones, so that absent children leave no trace.
        """
        n_parents, n_slots, n_vectors, dimension = children.shape
        assert (n_vectors, dimension) == (self.n_vectors, self.dimension), f"children {children.shape}"
        assert mask.shape == (n_parents, n_slots), f"mask {mask.shape} for children {children.shape}"
        most = int(mask.sum(dim=1).max()) if mask.numel() else 0
        if most > self.max_children:
            raise ValueError(f"{most} children in one parent, at most {self.max_children}: group them first")
        order = (~mask).long().argsort(dim=1, stable=True)[:, :most]
        present = mask.gather(1, order)
        rows = torch.arange(n_parents, device=mask.device)[:, None]
        vectors = torch.where(present[..., None, None], children[rows, order], 0.0).float()
        lifted = self.lift(vectors) * self.lift_gain + self.slots[:most, None]
        shape = (n_parents, most * n_vectors)
        positions = present[..., None].expand(-1, -1, n_vectors).reshape(shape)
        states = self._read(lifted.reshape(*shape, self.config.hidden_size), positions, self.parent_memory)
        mean = vectors.sum(1) / present.sum(1).clamp(min=1)[:, None, None]
        return mean + functional.linear(self.norm(states), self.lower.weight)

    def _read(self, inputs: Tensor, mask: Tensor, memory: Tensor) -> Tensor:
        dtype = self._backbone.dtype
        tail = memory.to(dtype).expand(len(inputs), -1, -1)
        present = torch.cat([mask, mask.new_ones(len(inputs), len(memory))], dim=1)
        with self.adapters.applied(self._backbone):
            states = self._backbone.run(torch.cat([inputs.to(dtype), tail], dim=1), present)
        return states[:, -len(memory) :].float()

    @torch.no_grad()
    def encode(self, texts: Sequence[str], cancel: CancelSignal = NEVER) -> FloatArray:
        """Texts to ``[N, M, D]``; a text is cut after `max_tokens` tokens, an empty one is no error."""
        ids = [row[: self.config.max_tokens] for row in self._encode_batch(list(texts))]
        result = np.zeros((len(ids), self.n_vectors, self.dimension), dtype=np.float32)
        device = self._backbone.device
        for rows in self._batches([len(row) for row in ids]):
            padded = nn.utils.rnn.pad_sequence(
                [torch.tensor(ids[row], dtype=torch.long) for row in rows], batch_first=True
            )
            lengths = torch.tensor([len(ids[row]) for row in rows])
            mask = torch.arange(padded.shape[1]) < lengths[:, None]
            result[rows] = self.encode_states(padded.to(device), mask.to(device)).cpu().numpy()
        return result

    @torch.no_grad()
    def fuse(self, children: FloatArray, mask: BoolArray) -> FloatArray:
        """Children ``[B, C, M, D]`` with ``mask [B, C]`` (True = present) to ``[B, M, D]``."""
        result = np.zeros((len(children), self.n_vectors, self.dimension), dtype=np.float32)
        device = self._backbone.device
        counts = np.asarray(mask, dtype=bool).sum(axis=1)
        for rows in self._batches([int(count) * self.n_vectors for count in counts]):
            part = tensor_of(children[rows], device)
            present = torch.as_tensor(np.asarray(mask[rows], dtype=bool), device=device)
            result[rows] = self.fuse_states(part, present).cpu().numpy()
        return result

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Row numbers, the like of length together, so that little is padded and no batch is long."""
        on_cpu = self._backbone.device.type == "cpu"
        limit = CPU_BATCH_POSITIONS if on_cpu else ACCELERATOR_BATCH_POSITIONS
        batch: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
            if batch and (len(batch) + 1) * (lengths[row] + self.n_vectors) > limit:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

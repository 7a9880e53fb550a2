"""A batch as the network takes it, and how examples become one.

Owns shapes and padding: everything is right-padded to fixed sizes, so that a compiled block is
compiled once for each kind of batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

NOTHING: tuple[int, ...] = ()


@dataclass(frozen=True)
class Example:
    """One row. `prompt` and `target` are ids, `weights` one number a target token.

    `chunks` are ids of the retrieved chunks, best first; `levels` their nodes' levels. With `children`
    the node in `parent_slot` is a parent, fused from these chunks. `told` is the prompt with the chunks as
    text, for a teacher that reads them.
    """

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    weights: tuple[float, ...]
    chunks: tuple[tuple[int, ...], ...] = ()
    levels: tuple[int, ...] = ()
    children: tuple[tuple[int, ...], ...] = ()
    parent_slot: int = -1
    told: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sizes:
    """Of a batch: `n_rows` B, `n_nodes` K, `n_children` C, all lengths in tokens.

    `text` holds prompt and target together, `chunk` a chunk and the memory tokens after it, `told` the
    teacher's prompt and the target.
    """

    n_rows: int
    text: int
    target: int
    n_nodes: int
    chunk: int
    n_memory: int
    n_children: int = 0
    told: int = 0


@dataclass(frozen=True, eq=False)
class Batch:
    """``ids [B, T]``, ``n_prompt [B]``, ``targets``, ``weights [B, L]``, ``chunks [B, K, S]``,
    ``chunk_lengths``, ``levels``, ``present [B, K]``, ``children [B, C, S]``, ``child_lengths [B, C]``,
    ``parent_slots [B]`` (-1 for none), the teacher's ``told_ids [B, T']`` and ``n_told_prompt [B]``."""

    kind: str
    ids: Tensor
    n_prompt: Tensor
    targets: Tensor
    weights: Tensor
    chunks: Tensor
    chunk_lengths: Tensor
    levels: Tensor
    present: Tensor
    children: Tensor | None = None
    child_lengths: Tensor | None = None
    parent_slots: Tensor | None = None
    told_ids: Tensor | None = None
    n_told_prompt: Tensor | None = None

    @property
    def has_nodes(self) -> bool:
        return self.chunks.shape[1] > 0

    def as_text(self) -> Batch | None:
        """The same targets after the teacher's prompts, without nodes; None where there is no teacher."""
        if self.told_ids is None or self.n_told_prompt is None:
            return None
        none = self.chunks[:, :0], self.chunk_lengths[:, :0], self.levels[:, :0], self.present[:, :0]
        return Batch("text", self.told_ids, self.n_told_prompt, self.targets, self.weights, *none)

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        moved: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kind"}
        for name, tensor in moved.items():
            moved[name] = None if tensor is None else tensor.to(device, non_blocking=True)
        return Batch(self.kind, **moved)


def make_batch(kind: str, examples: Sequence[Example], sizes: Sizes) -> Batch:
    """Pads and cuts `examples` to `sizes`: prompts lose their left end, targets and chunks their right."""
    n_rows = len(examples)
    targets, weights = _zeros(n_rows, sizes.target), np.zeros((n_rows, sizes.target), dtype=np.float32)
    for row, example in enumerate(examples):
        target = example.target[: sizes.target]
        targets[row, : len(target)] = target
        weights[row, : len(target)] = example.weights[: len(target)]
    ids, n_prompt = _texts([(example.prompt, example.target) for example in examples], sizes, sizes.text)
    chunks, lengths = _chunks([example.chunks for example in examples], sizes.n_nodes, sizes)
    levels, present = _zeros(n_rows, sizes.n_nodes), np.zeros((n_rows, sizes.n_nodes), dtype=bool)
    for row, example in enumerate(examples):
        n = min(len(example.chunks), sizes.n_nodes)
        levels[row, :n] = example.levels[:n]
        present[row, :n] = True
    tensors = [ids, n_prompt, targets, weights, chunks, lengths, levels, present]
    if sizes.n_children:
        tensors += _chunks([example.children for example in examples], sizes.n_children, sizes)
        slots = [example.parent_slot if example.children else -1 for example in examples]
        tensors.append(np.array(slots, dtype=np.int64))
    batch = Batch(kind, *(torch.from_numpy(tensor) for tensor in tensors))
    if not sizes.told:
        return batch
    told = _texts([(example.told, example.target) for example in examples], sizes, sizes.told)
    return replace(batch, told_ids=torch.from_numpy(told[0]), n_told_prompt=torch.from_numpy(told[1]))


def _texts(
    pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], sizes: Sizes, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts and targets as rows of `width`, and how long the prompts are."""
    ids, n_prompt = _zeros(len(pairs), width), np.zeros(len(pairs), dtype=np.int64)
    for row, (whole_prompt, whole_target) in enumerate(pairs):
        target = whole_target[: sizes.target]
        prompt = whole_prompt[-(width - len(target)) :]
        ids[row, : len(prompt) + len(target)] = (*prompt, *target)
        n_prompt[row] = len(prompt)
    return ids, n_prompt


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=np.int64)


def _chunks(
    rows: Sequence[Sequence[tuple[int, ...]]], n_slots: int, sizes: Sizes
) -> tuple[np.ndarray, np.ndarray]:
    ids, lengths = _zeros(len(rows), n_slots, sizes.chunk), _zeros(len(rows), n_slots)
    for row, chunks in enumerate(rows):
        for slot, chunk in enumerate(chunks[:n_slots]):
            kept = chunk[: sizes.chunk - sizes.n_memory]
            ids[row, slot, : len(kept)] = kept
            lengths[row, slot] = len(kept)
    return ids, lengths

"""Keys and values of the positions read, and the angles of their rotary embedding, in place.

Owns the memory and its growth, and which heads do not see a slot that was taken over. Which positions hold
what is `model.runtime.fast_runtime`'s to know: slots past those in use hold anything finite and count for
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from model.multiples import UNFILLED, Filling
from model.runtime.attention import LANES
from model.runtime.plan import Plan

FIRST_CAPACITY = 1024
"""Positions for which memory is taken at first; doubled as needed."""


@dataclass(frozen=True)
class Slots:
    """The cache around the positions ``[begin, end)`` being read, one entry a layer.

    `new` ``[2 KV, end - begin, D]`` is where keys, then values, of the new positions are written;
    `keys` and `values` ``[1, KV, seen, D]`` are all of them, and what lies behind to fill up. `cos` and
    `sin` ``[end - begin, 1, D]`` turn queries and keys: ``x * cos + roll(x, D / 2) * sin``. `hidden`
    ``[KV, seen]`` is minus infinity where a head sees nothing, else 0; None where each sees all. With it
    a layer looks at its last positions only: `seen` is `n_seen`, or less where the first are hidden.
    """

    new: tuple[torch.Tensor, ...]
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]
    cos: torch.Tensor
    sin: torch.Tensor
    hidden: tuple[torch.Tensor, ...] | None
    end: int
    n_seen: int


@dataclass(frozen=True)
class TakenPairs:
    """T pairs to be taken over: whose each is, counted through the layers, and its place among the slots.

    `heads` and `places` ``[T]``; `keys`, turned to their positions, and `values` ``[T, D]``. A head's pairs
    fill its last slots.
    """

    heads: torch.Tensor
    places: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor


class StaticCache:
    """Invariant: growing keeps every slot's content; a failure to grow changes nothing."""

    def __init__(self, plan: Plan, first_capacity: int = FIRST_CAPACITY) -> None:
        self._plan = plan
        self._first = first_capacity
        self._device = plan.embedding.device
        self._hidden: torch.Tensor | None = None
        self._taken = (0, 0)
        self._starts: list[int] = []
        self.memory_id = 0
        """Another number whenever the slots lie elsewhere, or begin or end to be hidden."""
        self._free()

    @property
    def capacity(self) -> int:
        """Positions for which there is memory."""
        return self._data.shape[2]

    @property
    def whole(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """All slots ``[layers, 2 KV, capacity, D]``, keys first, and the angles ``[capacity, 1, D]``."""
        return self._data, self._cos, self._sin

    def release(self) -> None:
        """Gives the memory back."""
        self._free()

    def readied(self, begin: int, end: int, filling: Filling = UNFILLED) -> int:
        """Has memory for reading the positions ``[begin, end)``, which all heads see from then on.

        Gives where what they see ends, filled up by `filling` with finite numbers.
        """
        self.show(begin, end)
        n_seen = filling.up(end, max(self._starts, default=0))
        self.reserve(n_seen, begin)
        return n_seen

    def slots(self, begin: int, end: int, filling: Filling = UNFILLED) -> Slots:
        """Views of the cache for reading the positions ``[begin, end)``, as `readied` has them."""
        n_seen = self.readied(begin, end, filling)
        n_kv = self._plan.n_kv_heads
        read: Iterable[torch.Tensor] = self._data[:, None, :, :n_seen].unbind(0)
        hidden = None if self._hidden is None else self._hidden[..., :n_seen].unbind(0)
        if hidden is not None:
            read = [layer[:, :, start:] for layer, start in zip(read, self._starts, strict=True)]
            hidden = tuple(layer[:, start:] for layer, start in zip(hidden, self._starts, strict=True))
        return Slots(
            self._data[:, :, begin:end].unbind(0),
            tuple(layer[:, :n_kv] for layer in read),
            tuple(layer[:, n_kv:] for layer in read),
            self._cos[begin:end],
            self._sin[begin:end],
            hidden,
            end,
            n_seen,
        )

    @property
    def hidden(self) -> torch.Tensor | None:
        """``[layers, KV, capacity]``, as in `Slots`."""
        return self._hidden

    @property
    def starts(self) -> Sequence[int]:
        """Where what each layer looks at begins; none where it is the first position everywhere."""
        return self._starts

    @property
    def taken(self) -> tuple[int, int]:
        """Where slots that were taken over begin and end: only all of them are in the cache, or none."""
        return self._taken

    def take_over(self, begin: int, n_slots: int, pairs: TakenPairs) -> None:
        """Slots from `begin` on.

        Where the first of them are empty for a whole layer, what stands before `begin` moves up to the
        others, so that few positions are looked at; its place stays as it was for the rest.
        """
        end, n_kv = begin + n_slots, self._plan.n_kv_heads
        self.reserve(end, begin)
        layers, of_layer = pairs.heads.div(n_kv, rounding_mode="floor"), pairs.heads % n_kv
        self._data[layers, of_layer, begin + pairs.places] = pairs.keys.to(self._data.dtype)
        self._data[layers, n_kv + of_layer, begin + pairs.places] = pairs.values.to(self._data.dtype)
        n_absent = n_slots - torch.bincount(pairs.heads, minlength=len(self._data) * n_kv).view(-1, n_kv)
        hidden = self._hidden
        if hidden is None:
            # Zeros here, too: what is no number stays none under a mask.
            shape = len(self._data), n_kv, self.capacity
            hidden = torch.zeros(shape, dtype=torch.float32, device=self._device)
            self.memory_id += 1
        hidden[..., :end] = 0
        absent = torch.arange(n_slots, device=self._device) < n_absent[..., None]
        hidden[..., begin:end].masked_fill_(absent, -torch.inf)
        starts = _starts(begin, n_absent)
        for layer, start in enumerate(starts):
            if start:
                self._data[layer, :, start : start + begin] = self._data[layer, :, :begin]
                hidden[layer, :, :start] = -torch.inf
                hidden[layer, :, start : start + begin] = 0
        self._hidden, self._taken = hidden, (begin, end)
        self._starts = [start // LANES * LANES for start in starts]  # what is looked at are multiples

    def show(self, begin: int, end: int) -> None:
        """All heads see ``[begin, end)``; what lies behind is read anew before it is seen."""
        if self._hidden is None:
            return
        if begin <= self._taken[0]:
            self._hidden, self._taken, self._starts = None, (0, 0), []
            self.memory_id += 1
        else:
            self._hidden[..., begin:end] = 0

    def _free(self) -> None:
        plan = self._plan
        width = (plan.head_size,)
        shape = (len(plan.layers), 2 * plan.n_kv_heads, 0, *width)
        self._data = torch.empty(shape, dtype=plan.dtype, device=self._device)
        self._cos = self._sin = torch.empty((0, 1, *width), dtype=plan.dtype, device=self._device)
        self._hidden, self._taken, self._starts = None, (0, 0), []
        self.memory_id += 1

    def reserve(self, n_positions: int, n_used: int) -> None:
        """Memory for so many positions, of which the first `n_used` hold something."""
        if n_positions <= self.capacity:
            return
        capacity = max(self.capacity, self._first)
        while capacity < n_positions:
            capacity *= 2
        n_layers, n_rows, _, width = self._data.shape
        # Zeros, not anything: passes look past the slots in use, and no mask hides what is not finite.
        data = torch.zeros((n_layers, n_rows, capacity, width), dtype=self._data.dtype, device=self._device)
        data[:, :, :n_used] = self._data[:, :, :n_used]
        cos, sin = angles_of(self._plan, capacity)
        self._data, self._cos, self._sin = data, cos.to(self._device), sin.to(self._device)
        if self._hidden is not None:
            self._hidden = pad(self._hidden, (0, capacity - self._hidden.shape[-1]))
        self.memory_id += 1


def _starts(begin: int, n_absent: torch.Tensor) -> list[int]:
    """How far up each layer can take what stands before `begin` without writing over it; 0: not at all.

    `n_absent` ``[layers, KV]``: so many of the first slots are empty.
    """
    n_empty: list[int] = n_absent.amin(dim=1).tolist()
    return [n if n >= begin else 0 for n in n_empty]


def angles_of(plan: Plan, n_positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines ``[T, 1, D]`` of the model's own rotary embedding.

    The sign by which it turns the halves stands in the sine, so that a roll does the rest.
    """
    cos, sin = plan.rotary(torch.empty(0, dtype=torch.float32), torch.arange(n_positions).unsqueeze(0))
    if cos.shape != (1, n_positions, plan.head_size):
        raise ValueError(
            f"rotary embedding gives {tuple(cos.shape)}, expected {(1, n_positions, plan.head_size)}"
        )
    half = plan.head_size // 2
    signed = torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)
    return cos[0].to(plan.dtype).unsqueeze(1), signed.to(plan.dtype).unsqueeze(1)

"""Passes of few rows without Python between torch's calls: a layer is recorded once for each number of rows.

Owns the recordings, made with `torch.jit.trace` when a number of rows first comes (some 50 ms), and the
check that they give what was recorded, bit for bit. A pass of one token is 1,300 small calls; recorded, it
takes 2 ms less, and other threads of Python run meanwhile. The arithmetic is `model.runtime.layers`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Hashable
from dataclasses import replace

import torch

from model.runtime.int8 import Multiply
from model.runtime.layers import Layer, Stack, run_layer, run_layers
from model.runtime.plan import Plan
from model.runtime.static_cache import Slots

log = logging.getLogger(__name__)

CHECKS = 2
"""Torch works a recording over at its second run."""
Recording = Callable[..., torch.Tensor]


class RecordedLayers:
    """What `run_layers` does for a stack whose rows are apart, each layer by its recording.

    Where recording fails, or a recording gives anything else, `run_layers` does it from then on.
    """

    def __init__(self, stack: Stack) -> None:
        """Raises ValueError for a stack whose rows look at each other: that needs a mask of its length."""
        if not stack.rows_apart:
            raise ValueError("only passes whose rows are apart can be recorded")
        self._stack = stack
        self._kinds = [_kind(layer) for layer in stack.layers]
        self._tensors = [_tensors(layer) for layer in stack.layers]
        self._recordings: dict[tuple[int, Hashable], Recording] = {}
        self.works = True

    def run(self, rows: torch.Tensor, slots: Slots) -> torch.Tensor:
        """As `run_layers`, in place."""
        n_rows = rows.shape[0]
        if not self.works or not self._ready(n_rows, rows, slots):
            return run_layers(self._stack, rows, slots)
        places = zip(slots.new, slots.keys, slots.values, strict=True)
        for kind, tensors, (new, keys, values) in zip(self._kinds, self._tensors, places, strict=True):
            self._recordings[n_rows, kind](rows, slots.cos, slots.sin, new, keys, values, *tensors)
        return rows

    def _ready(self, n_rows: int, rows: torch.Tensor, slots: Slots) -> bool:
        """Whether every kind of layer has its recording, now that the missing ones were made."""
        for number, kind in enumerate(self._kinds):
            if (n_rows, kind) not in self._recordings:
                recording = self._recorded(number, n_rows, rows, slots)
                if recording is None:
                    self.works = False
                    self._recordings.clear()
                    return False
                self._recordings[n_rows, kind] = recording
        return True

    def _recorded(self, number: int, n_rows: int, rows: torch.Tensor, slots: Slots) -> Recording | None:
        """A recording of one layer; what it writes to the cache the pass itself writes again."""
        plan, layer, tensors = self._stack.plan, self._stack.layers[number], self._tensors[number]
        place = slots.cos, slots.sin, slots.new[number], slots.keys[number], slots.values[number]
        wanted = run_layer(plan, layer, n_rows, rows.clone(), *place)
        try:
            recording = _traced(plan, layer, n_rows, (rows.clone(), *place, *tensors))
            got = [recording(rows.clone(), *place, *tensors) for _ in range(CHECKS)]
        except Exception as error:  # noqa: BLE001 - whatever the recorder raises, the plain pass works
            log.info("passes are not recorded: %s", error)
            return None
        if all(torch.equal(one, wanted) for one in got):
            return recording
        log.info("passes are not recorded: a recording differs from what it recorded")
        return None


def _traced(plan: Plan, layer: Layer, n_rows: int, inputs: tuple[torch.Tensor, ...]) -> Recording:
    def run(
        rows: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        new: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        *tensors: torch.Tensor,
    ) -> torch.Tensor:
        return run_layer(plan, _with(layer, tensors), n_rows, rows, cos, sin, new, keys, values)

    with warnings.catch_warnings():
        # Torch means to drop it and offers compilers, which users of a language server do not have.
        warnings.simplefilter("ignore", DeprecationWarning)
        traced: Recording = torch.jit.trace(run, inputs, check_trace=False)  # type: ignore[no-untyped-call]
    return traced


def _multiplies(layer: Layer) -> tuple[Multiply, ...]:
    return layer.qkv, layer.out, layer.gate_up, layer.down


def _kind(layer: Layer) -> Hashable:
    """Equal for layers that one recording serves."""
    gains = layer.gain_in is None, layer.gain_mid is None
    return gains, tuple((each.function, len(each.tensors)) for each in _multiplies(layer))


def _tensors(layer: Layer) -> tuple[torch.Tensor, ...]:
    gains = (gain for gain in (layer.gain_in, layer.gain_mid) if gain is not None)
    return (*gains, *(tensor for each in _multiplies(layer) for tensor in each.tensors))


def _with(layer: Layer, tensors: tuple[torch.Tensor, ...]) -> Layer:
    """`layer` with other tensors, in the order of `_tensors`."""
    left = iter(tensors)
    gain_in, gain_mid = (None if gain is None else next(left) for gain in (layer.gain_in, layer.gain_mid))
    qkv, out, gate_up, down = (
        replace(each, tensors=tuple(next(left) for _ in each.tensors)) for each in _multiplies(layer)
    )
    return Layer(gain_in, qkv, out, gain_mid, gate_up, down)

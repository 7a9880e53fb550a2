"""Passes of few rows without Python between torch's calls: a layer is recorded once for each number of rows.

Owns the recordings, made with `torch.jit.trace` when a number of rows first comes (some 50 ms; once more
when heads do not see all positions, for the mask has another shape then), and the check that they give what
was recorded, bit for bit. A pass of one token is 1,300 small calls; recorded, it takes 2 ms less, and other
threads of Python run meanwhile. The arithmetic is `model.runtime.layers`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Hashable
from dataclasses import replace
from itertools import islice

import torch
from torch import nn

from model.runtime.attention import Attention
from model.runtime.layers import Layer, Place, Stack, places_of, run_layer, run_layers
from model.runtime.static_cache import Slots

log = logging.getLogger(__name__)

N_OF_PLACE = len(Place._fields)
CHECKS = 2
"""Torch works a recording over at its second run."""
Recording = Callable[..., torch.Tensor]


class RecordedLayers:
    """What `run_layers` does for a stack whose rows keep their bits, each layer by its recording.

    Where recording fails, or a recording gives anything else, `run_layers` does it from then on.
    """

    def __init__(self, stack: Stack) -> None:
        """Raises ValueError for a stack whose rows depend on those beside them."""
        if stack.attention is Attention.MASKED:
            raise ValueError("only passes whose rows keep their bits can be recorded")
        self._stack = stack
        self._kinds = [_kind(layer) for layer in stack.layers]
        self._tensors = [_tensors(layer) for layer in stack.layers]
        self._recordings: dict[tuple[int, bool, Hashable], Recording] = {}
        self.works = True

    def stand_on(self, stack: Stack) -> None:
        """`stack` has the same layers under another plan."""
        self._stack = stack

    def run(self, rows: torch.Tensor, slots: Slots) -> torch.Tensor:
        """As `run_layers`, in place."""
        n_rows = rows.shape[0]
        if not self.works or not self._ready(n_rows, rows, slots):
            return run_layers(self._stack, rows, slots)
        places = places_of(self._stack, n_rows, slots)
        hides = slots.hidden is not None
        for kind, tensors, place in zip(self._kinds, self._tensors, places, strict=True):
            self._recordings[n_rows, hides, kind](rows, *_of_tensors(place), *tensors)
        return rows

    def _ready(self, n_rows: int, rows: torch.Tensor, slots: Slots) -> bool:
        """Whether every kind of layer has its recording, now that the missing ones were made."""
        hides = slots.hidden is not None
        for number, kind in enumerate(self._kinds):
            if (n_rows, hides, kind) not in self._recordings:
                recording = self._recorded(number, n_rows, rows, slots)
                if recording is None:
                    self.works = False
                    self._recordings.clear()
                    return False
                self._recordings[n_rows, hides, kind] = recording
        return True

    def _recorded(self, number: int, n_rows: int, rows: torch.Tensor, slots: Slots) -> Recording | None:
        """A recording of one layer; what it writes to the cache the pass itself writes again."""
        stack, layer, tensors = self._stack, self._stack.layers[number], self._tensors[number]
        place = next(islice(places_of(stack, n_rows, slots), number, None))
        given = *_of_tensors(place), *tensors
        wanted = run_layer(stack, layer, n_rows, rows.clone(), place)
        try:
            recording = _traced(stack, layer, n_rows, (rows.clone(), *given))
            got = [recording(rows.clone(), *given) for _ in range(CHECKS)]
        except Exception as error:  # noqa: BLE001 - whatever the recorder raises, the plain pass works
            log.info("passes are not recorded: %s", error)
            return None
        if all(torch.equal(one, wanted) for one in got):
            return recording
        log.info("passes are not recorded: a recording differs from what it recorded")
        return None


def _of_tensors(place: Place) -> tuple[torch.Tensor, ...]:
    """With something empty for no mask: what is recorded takes tensors."""
    *given, mask = place
    return *given, place.cos.new_empty(0) if mask is None else mask


def _traced(stack: Stack, layer: Layer, n_rows: int, inputs: tuple[torch.Tensor, ...]) -> Recording:
    has_mask = inputs[N_OF_PLACE].numel() > 0

    def run(rows: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        place, weights = Place(*tensors[:N_OF_PLACE]), tensors[N_OF_PLACE:]
        if not has_mask:
            place = place._replace(mask=None)
        return run_layer(stack, _with(layer, weights), n_rows, rows, place)

    with warnings.catch_warnings():
        # Torch means to drop it and offers compilers, which users of a language server do not have.
        warnings.simplefilter("ignore", DeprecationWarning)
        traced: Recording = torch.jit.trace(_Pass(run, layer), inputs, check_trace=False)  # type: ignore[no-untyped-call]
    return traced


class _Pass(nn.Module):
    """`run` as a module that has those which `layer` multiplies by as parts: torch records no others."""

    def __init__(self, run: Recording, layer: Layer) -> None:
        super().__init__()
        self._run = run
        functions = {each.function for each in layer.multiplies}
        self._parts = nn.ModuleList(part for part in functions if isinstance(part, nn.Module))

    def forward(self, rows: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        return self._run(rows, *tensors)


def _kind(layer: Layer) -> Hashable:
    """Equal for layers that one recording serves."""
    gains = layer.gain_in is None, layer.gain_mid is None
    return gains, tuple((each.function, len(each.tensors)) for each in layer.multiplies)


def _tensors(layer: Layer) -> tuple[torch.Tensor, ...]:
    gains = (gain for gain in (layer.gain_in, layer.gain_mid) if gain is not None)
    return (*gains, *(tensor for each in layer.multiplies for tensor in each.tensors))


def _with(layer: Layer, tensors: tuple[torch.Tensor, ...]) -> Layer:
    """`layer` with other tensors, in the order of `_tensors`."""
    left = iter(tensors)
    gain_in, gain_mid = (None if gain is None else next(left) for gain in (layer.gain_in, layer.gain_mid))
    qkv, out, gate_up, down = (
        replace(each, tensors=tuple(next(left) for _ in each.tensors)) for each in layer.multiplies
    )
    return Layer(gain_in, qkv, out, gain_mid, gate_up, down)

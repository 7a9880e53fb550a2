"""A language model of Llama's layout on the CPU or a CUDA GPU, with a KV cache that outlives the request.

Owns `FastRuntime`, which does what `model.decoding.KvSession` does and reads several tokens at
once for drafts. Weights are `model.runtime.plan`'s, arithmetic `layers`', memory `static_cache`'s.
For the inference lane's thread only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from model.decoding import CPU_CHUNK, GPU_CHUNK, Halt, Inputs, n_same
from model.protocols import StopReason
from model.runtime.attention import Attention
from model.runtime.compact import (
    READING_ROWS,
    Weights,
    decoding_stack,
    fastest_weights,
    reading_stack,
    rows_read_for,
)
from model.runtime.fixed_steps import FixedSteps, record_cuda_graph
from model.runtime.kernel.layers import KernelLayers
from model.runtime.layers import Stack, embedded, logits_of, run_layers
from model.runtime.moving import laid, lifted
from model.runtime.plan import NO_CHANGES, Changes, emptied, plan_of, why_unsupported
from model.runtime.recorded_layers import RecordedLayers
from model.runtime.row_costs import ASSUMED, FEW_ROUNDS, MOST_ROWS, fastest_of, measured
from model.runtime.static_cache import FIRST_CAPACITY, StaticCache, TakenPairs
from model.slot_pairs import SlotPairs
from model.slots.layout import SlotLayout, standing_at_end, turned_keys

log = logging.getLogger(__name__)

USUAL_POSITIONS = 512
"""In the cache while passes are timed."""

PROBED = 24
NEAR_ENOUGH = 0.999
"""Cosine of two vectors of logits; half precision was seen to leave 0.9999."""


class FastRuntime:
    """A model's weights and its KV cache.

    Invariant: slot i of the cache holds what ``keys[i]`` names, for every i below `n_positions`.
    An error in the middle of a forward pass leaves the positions read before it, and no other.

    Besides the cache it holds the compact weights of decoding, where those are faster here, and no
    other weight of its own: the model's module shares its matrices, unless it was given up.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        weights: Weights | None = None,
        first_capacity: int = FIRST_CAPACITY,
        changes: Changes = NO_CHANGES,
    ) -> None:
        """Takes `model` apart; raises ValueError unless `supports` says None.

        `weights` are those that decoding reads; None lets a trial of some tens of ms choose. `changes`
        were made to the maps of a four-bit file: with them its levels can be found again.
        """
        reason = self.supports(model)
        if reason is not None:
            raise ValueError(f"{model.config.model_type} cannot run in the CPU runtime: {reason}")
        self._plan = plan_of(model, changes)
        on_gpu = model.device.type == "cuda"
        self._chunk = GPU_CHUNK if on_gpu else CPU_CHUNK
        self._weights = Weights.PLAIN if on_gpu else weights or fastest_weights(self._plan)
        self._few = decoding_stack(self._plan, self._weights)
        self._plan = self._plan.without_changes()
        self._many = reading_stack(self._plan, self._few, self._weights)
        self.layout = SlotLayout.of(self._plan)
        keeps_bits = self._few.attention is not Attention.MASKED
        self._kernel = KernelLayers(self._few) if self._weights is Weights.KERNEL else None
        records = keeps_bits and not on_gpu and self._kernel is None
        self.recorded = RecordedLayers(self._few) if records else None
        """Passes of few rows that torch recorded; None with plain weights, on a GPU, and with a kernel."""
        self._first_capacity = first_capacity
        self._cache = StaticCache(self._plan, first_capacity)
        self._keys: list[int] = []
        self._introduced: tuple[tuple[int, ...], torch.Tensor] = (), torch.empty(0)
        self.fixed = FixedSteps(self._few, self._cache, record_cuda_graph) if on_gpu else None
        """Steps that a graph was recorded of; None where each runs by itself."""
        self.row_costs = ASSUMED
        """Up to `n_few` rows of a prompt go through compact weights, more through plain matrices."""
        self.seconds_a_token = 0.0
        """What reading a long prompt takes on a CPU, once `warm_up` measured it."""
        log.info("decoding with %s weights", self._weights)

    @staticmethod
    def supports(model: PreTrainedModel) -> str | None:
        """None if the runtime can stand in for `model`, else why not."""
        return why_unsupported(model)

    def agrees_with(self, model: PreTrainedModel) -> bool:
        """Whether a prompt, steps and drafts give the logits of the module itself; forgets everything.

        A check at load for devices on which it was not tested as it was on the CPU.
        """
        ids = tuple(torch.arange(5, 5 + PROBED).remainder(len(self._plan.embedding)).tolist())
        n_read = PROBED - 5
        self.clear()
        first = self.prefill(Inputs((), None, ids[:n_read]), lambda: None)
        assert isinstance(first, torch.Tensor)
        ours = torch.stack([first, self.step(ids[n_read]), *self.verify(ids[n_read + 1 : -1])])
        self.clear()
        with torch.inference_mode():
            whole = model(input_ids=torch.tensor([ids], device=model.device)).logits[0]
        nearness = torch.cosine_similarity(ours.float(), whole[n_read - 1 : -1].float(), dim=-1)
        return bool((nearness > NEAR_ENOUGH).all())

    def warm_up(self) -> None:
        """Makes a pass of each number of few rows, so that none is recorded at a key; forgets everything.

        On a CPU it measures what they cost, and goes by that from then on.
        """
        self.clear()
        for n_rows in range(1, MOST_ROWS + 1):
            self.verify(range(n_rows))
        if self.fixed is None:
            self._keys = [0] * USUAL_POSITIONS
            few, many = partial(self._try, self._few), partial(self._try, self._many)
            self.row_costs = measured(few, None if self._is_one_way else many)
            self.seconds_a_token = fastest_of([(many, READING_ROWS)], FEW_ROUNDS)[0] / READING_ROWS
            log.info("passes of several rows: %s; %.2g s a token", self.row_costs, self.seconds_a_token)
        self.clear()

    def empty(self, model: PreTrainedModel) -> None:
        """Gives up the layers of the module, with which none else may compute, if no pass reads them here.

        Forgets everything.
        """
        self.clear()
        if self._shares_layers:
            self._plan = emptied(model, self._plan)
            self._cache = StaticCache(self._plan, self._first_capacity)
            self._few, self._many = (replace(stack, plan=self._plan) for stack in (self._few, self._many))
            if self.recorded is not None:
                self.recorded.stand_on(self._few)

    @property
    def _shares_layers(self) -> bool:
        """Whether prompts are read by the matrices that decode."""
        return self._many.layers is self._few.layers

    @property
    def _is_one_way(self) -> bool:
        """Whether whole passes are the kernel's, however many rows they read."""
        return self._kernel is not None and self._shares_layers

    @property
    def stack(self) -> Stack:
        """The layers as prompts are read, for whoever reads texts beside the cache."""
        return self._many

    @property
    def n_positions(self) -> int:
        return len(self._keys)

    @property
    def keys(self) -> Sequence[int]:
        """What each position holds."""
        return self._keys

    def lifted(self, begin: int, end: int) -> torch.Tensor:
        """A copy of the pairs at ``[begin, end)``, as `model.runtime.moving` lifts them."""
        with torch.inference_mode():
            return lifted(self._cache, begin, end)

    @property
    def weights(self) -> Weights:
        """What decoding reads."""
        return self._weights

    def clear(self) -> None:
        """Forgets everything, and gives the cache's memory back."""
        self._keys = []
        self._cache.release()

    def n_shared(self, keys: Sequence[int]) -> int:
        """Positions that `rewind` would keep."""
        n_kept = n_same(self._keys, keys)
        begin, end = self._cache.taken
        return begin if begin < n_kept < end else n_kept

    def rewind(self, keys: Sequence[int]) -> int:
        """Keeps the longest start that `keys` shares, but for the last key; says how many positions.

        The last position is always computed again, since its logits are wanted. Slots are kept all or none.
        """
        n_kept = self.n_shared(keys)
        del self._keys[n_kept:]
        return n_kept

    def drop(self, n_dropped: int) -> None:
        """Forgets the last positions; raises ValueError unless there are so many."""
        if not 0 <= n_dropped <= self.n_positions:
            raise ValueError(f"asked to drop {n_dropped} of {self.n_positions} positions")
        del self._keys[self.n_positions - n_dropped :]

    def prefill(self, inputs: Inputs, halt: Halt) -> torch.Tensor | StopReason:
        """Reads the rest of `inputs` after `rewind`, piece by piece: the last logits ``[V]``, or why not.

        What was read before a halt stays in the cache, so that the next attempt goes on from there.
        """
        last: torch.Tensor | None = None
        while last is None or self.n_positions < len(inputs.keys):
            reason = halt()
            if reason is not None:
                return reason
            begin = self.n_positions
            end = min(begin + self._chunk, len(inputs.keys))
            if self._stand(inputs, begin):
                continue
            end = min([end, *(place for place in inputs.begins if place > begin)])
            with torch.inference_mode():
                rows = self._rows(inputs, begin, end)
                few = end - begin <= self.row_costs.n_few
                last = self._read(self._few if few else self._many, inputs.keys[begin:end], rows)
        with torch.inference_mode():
            return logits_of(self._few, last[-1:])[0]

    def step(self, token_id: int) -> torch.Tensor:
        """Reads one token; gives the logits ``[V]`` of the next."""
        return self.verify((token_id,))[0]

    def verify(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Reads tokens in one forward pass; gives the logits ``[n, V]`` after each.

        By the weights of `step`, however many they are. With compact weights the logits are those
        of `step` to the last bit, so that drafts cannot change what is said; with plain ones they
        differ by rounding. `drop` forgets what was not accepted.
        """
        if not token_ids:
            raise ValueError("no tokens to verify; give at least one")
        with torch.inference_mode():
            if self.fixed is not None and self.fixed.take(len(token_ids)):
                logits = self.fixed.logits(token_ids, self.n_positions)
                self._keys.extend(token_ids)
                return logits
            rows = embedded(self._plan, token_ids)
            return logits_of(self._few, self._read(self._few, token_ids, rows))

    def _try(self, stack: Stack, n_rows: int) -> None:
        """A pass of which nothing stays."""
        with torch.inference_mode():
            self._read(stack, range(n_rows), embedded(self._plan, range(n_rows)))
        self.drop(n_rows)

    def _read(self, stack: Stack, keys: Sequence[int], rows: torch.Tensor) -> torch.Tensor:
        begin, n_rows = self.n_positions, len(keys)
        if self._kernel is not None and (stack is self._few or self._is_one_way):
            self._cache.readied(begin, begin + n_rows)
            self._kernel.run(rows, self._cache, begin)
            self._keys.extend(keys)
            return rows
        rows = functional.pad(rows, (0, 0, 0, rows_read_for(stack, n_rows) - n_rows))
        slots = self._cache.slots(begin, begin + len(rows), stack.filling)
        if stack is self._few and self.recorded is not None:
            rows = self.recorded.run(rows, slots)
        else:
            rows = run_layers(stack, rows, slots)
        self._keys.extend(keys)
        return rows[:n_rows]

    def _stand(self, inputs: Inputs, begin: int) -> bool:
        """Whether something stands from `begin` on now that needs no pass."""
        if not inputs.begins:
            return False
        if not begin:
            return self._remember_introduction(inputs.before)
        first_slot, end_of_slots = inputs.places
        if inputs.slots and first_slot <= begin < end_of_slots:
            del self._keys[first_slot:]
            self._take(inputs.slots, inputs.keys[first_slot:end_of_slots])
            return True
        run = next((run for run in inputs.runs if run.begin <= begin < run.end), None)
        if run is None:
            return False
        self._keep_introduction(inputs.before)
        with torch.inference_mode():
            laid(self._cache, begin, run.parts_from(begin))
        self._keys.extend(inputs.keys[begin : run.end])
        return True

    def _take(self, pairs: SlotPairs, names: Sequence[int]) -> None:
        """Pairs stand at the positions named, without a pass."""
        begin, n_slots = self.n_positions, len(names)
        self._keep_introduction(self._keys)
        with torch.inference_mode():
            device = self._plan.embedding.device
            heads, numbers = (torch.from_numpy(part).to(device) for part in (pairs.heads, pairs.numbers))
            self._cache.reserve(begin + n_slots, begin)
            places = standing_at_end(heads, n_slots)
            _, cos, sin = self._cache.whole
            keys, values = numbers.chunk(2, dim=1)
            turned = turned_keys(keys, cos[begin + places, 0], sin[begin + places, 0])
            self._cache.take_over(begin, n_slots, TakenPairs(heads, places, turned, values))
        self._keys.extend(names)

    def _keep_introduction(self, ids: Sequence[int]) -> None:
        if ids and self._introduced[0] != tuple(ids):
            with torch.inference_mode():
                self._introduced = tuple(ids), self._cache.whole[0][:, :, : len(ids)].clone()

    def _remember_introduction(self, ids: Sequence[int]) -> bool:
        """Whether what stands before slots and runs was read before: then it is in the cache again."""
        known, data = self._introduced
        if not ids or known != tuple(ids):
            return False
        with torch.inference_mode():
            self._cache.reserve(len(ids), 0)
            self._cache.show(0, len(ids))
            self._cache.whole[0][:, :, : len(ids)] = data
        self._keys.extend(ids)
        return True

    def _rows(self, inputs: Inputs, begin: int, end: int) -> torch.Tensor:
        """The inputs at positions ``[begin, end)`` as residual rows, a fresh float32 tensor."""
        n_before, n_rows = len(inputs.before), 0 if inputs.rows is None else len(inputs.rows)
        given_rows = None if isinstance(inputs.rows, SlotPairs) else inputs.rows
        if given_rows is None or begin >= n_before + n_rows or end <= n_before:
            return embedded(self._plan, inputs.keys[begin:end])
        ids = [max(key, 0) for key in inputs.keys[begin:end]]
        rows = embedded(self._plan, ids)
        first, last = max(begin, n_before), min(end, n_before + n_rows)
        given = np.ascontiguousarray(given_rows[first - n_before : last - n_before], dtype=np.float32)
        rows[first - begin : last - begin] = torch.from_numpy(given).to(rows.device)
        return rows

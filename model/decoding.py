"""Greedy decoding over a transformers model whose KV cache outlives the request.

Owns `KvSession` (the cache, and what each of its positions holds) and `decode_greedily` (the
loop over tokens). Where a suggestion ends is `model.stopping`'s to say, what is read
`model.prompt`'s. For the inference lane's thread only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from model.choosing import GreedyChoice, Others
from model.protocols import FloatArray, Fork, PseudoTokens, StopReason
from model.readings.reading import Run
from model.same_start import n_same_from_start
from model.slot_pairs import SlotPairs
from model.stopping import Stop, StopTracker

CPU_CHUNK = 128
"""Positions prefilled in one go, between two looks at cancel and deadline: some 50 ms of a small
model on two cores."""
GPU_CHUNK = 1024

Halt = Callable[[], StopReason | None]
"""Why to leave off now, read before every chunk and every token; None to go on."""


@dataclass(frozen=True)
class Inputs:
    """What goes into the model: pseudo-tokens after `before` ids, then `ids`.

    Pseudo-tokens are `rows` ``[P, H]`` of the input space, or pairs, which are not read but taken over.
    `keys` names each position by its content: the id of a token, a negative hash of a pseudo-token's
    numbers or, of pairs, of all of them and the place. Two prompts share a cached position only if all keys
    up to it agree. `runs` are positions that were read beforehand, in their order.
    """

    before: tuple[int, ...]
    rows: PseudoTokens | None
    ids: tuple[int, ...]
    runs: tuple[Run, ...] = ()
    keys: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        rows = () if self.rows is None else _keys_of(self.rows)
        object.__setattr__(self, "keys", (*self.before, *rows, *self.ids))

    @property
    def slots(self) -> SlotPairs | None:
        """Pseudo-tokens that are taken over."""
        return self.rows if isinstance(self.rows, SlotPairs) else None

    @property
    def places(self) -> tuple[int, int]:
        """Where pseudo-tokens begin and end among the positions."""
        return len(self.before), len(self.keys) - len(self.ids)

    @property
    def begins(self) -> tuple[int, ...]:
        """Where something begins that needs no pass: slots, what was read beforehand."""
        return (*self.places[: 1 if self.slots else 0], *(run.begin for run in self.runs))

    def n_taken(self, begin: int, end: int) -> int:
        """How many of the positions ``[begin, end)`` are slots, which are taken over and not read."""
        return _common((begin, end), self.places) if self.slots else 0

    def n_to_read(self, begin: int, end: int) -> int:
        """How many of the positions ``[begin, end)`` take a pass."""
        return end - begin - self.n_taken(begin, end) - self.n_read_before(begin, end)

    def n_read_before(self, begin: int, end: int) -> int:
        """How many of the positions ``[begin, end)`` were read beforehand."""
        return sum(_common((begin, end), (run.begin, run.end)) for run in self.runs)


def _common(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def _keys_of(rows: PseudoTokens) -> Iterable[int]:
    if isinstance(rows, SlotPairs):
        first = -1 - int.from_bytes(rows.digest, "little")
        return (first - place for place in range(len(rows)))
    return (_key_of_row(row) for row in rows)


def _key_of_row(row: FloatArray) -> int:
    data = np.ascontiguousarray(row, dtype=np.float32).tobytes()
    return -1 - int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def n_same(known: Sequence[int], keys: Sequence[int]) -> int:
    """How many positions of `keys` are known, at most all but the last."""
    return min(n_same_from_start(known, keys), max(0, len(keys) - 1))


class DecodingSession(Protocol):
    """A model with a KV cache that outlives the request: `KvSession`, `model.runtime.FastRuntime`."""

    @property
    def n_positions(self) -> int:
        """How many are in the cache."""
        ...

    def clear(self) -> None:
        """Forgets everything."""
        ...

    def n_shared(self, keys: Sequence[int]) -> int:
        """Positions that `rewind` would keep."""
        ...

    def rewind(self, keys: Sequence[int]) -> int:
        """Keeps the longest start that `keys` shares, but for the last key; says how many positions."""
        ...

    def prefill(self, inputs: Inputs, halt: Halt) -> torch.Tensor | StopReason:
        """Reads the rest of `inputs`: the last logits ``[V]``, or why not."""
        ...

    def step(self, token_id: int) -> torch.Tensor:
        """Reads one token; gives the logits ``[V]`` of the next."""
        ...


class KvSession:
    """A model and its KV cache.

    Invariant: position i of the cache holds what ``keys[i]`` names, for every i, and no
    position more. After an error inside the model the cache is dropped.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._device = model.device
        self._chunk = CPU_CHUNK if self._device.type == "cpu" else GPU_CHUNK
        parameters = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._keys: list[int] = []
        self._cache = DynamicCache()

    @property
    def n_positions(self) -> int:
        return len(self._keys)

    def clear(self) -> None:
        """Forgets everything."""
        self._keys = []
        self._cache = DynamicCache()

    def n_shared(self, keys: Sequence[int]) -> int:
        return n_same(self._keys, keys)

    def rewind(self, keys: Sequence[int]) -> int:
        """Keeps the longest start that `keys` shares, but for the last key; says how many positions.

        The last position is always computed again, since its logits are wanted.
        """
        n_kept = self.n_shared(keys)
        if n_kept == 0:
            self.clear()
        elif n_kept < len(self._keys):
            self._cache.crop(n_kept - len(self._keys))  # transformers counts what to take away
            del self._keys[n_kept:]
        return n_kept

    def prefill(self, inputs: Inputs, halt: Halt) -> torch.Tensor | StopReason:
        """Reads the rest of `inputs` after `rewind`, piece by piece: the last logits ``[V]``, or why not.

        What was read before a halt stays in the cache, so that the next attempt goes on from there.
        """
        logits: torch.Tensor | None = None
        while logits is None or self.n_positions < len(inputs.keys):
            reason = halt()
            if reason is not None:
                return reason
            begin = self.n_positions
            end = min(begin + self._chunk, len(inputs.keys))
            logits = self._read(inputs, begin, end)
        return logits

    def step(self, token_id: int) -> torch.Tensor:
        """Reads one token; gives the logits ``[V]`` of the next."""
        ids = torch.tensor([[token_id]], device=self._device)
        return self._forward([token_id], input_ids=ids)

    def _read(self, inputs: Inputs, begin: int, end: int) -> torch.Tensor:
        keys = inputs.keys[begin:end]
        if all(key >= 0 for key in keys):
            return self._forward(keys, input_ids=torch.tensor([keys], device=self._device))
        return self._forward(keys, inputs_embeds=self._embedded(inputs)[:, begin:end])

    def _embedded(self, inputs: Inputs) -> torch.Tensor:
        """All inputs as vectors ``[1, N, H]``."""
        embed = self._model.get_input_embeddings()
        assert not isinstance(inputs.rows, SlotPairs)
        rows = torch.from_numpy(np.ascontiguousarray(inputs.rows, dtype=np.float32))
        with torch.inference_mode():
            before, after = (
                embed(torch.tensor(ids, dtype=torch.long, device=self._device))
                for ids in (inputs.before, inputs.ids)
            )
            return torch.cat([before, rows.to(before), after]).unsqueeze(0)

    def _forward(self, keys: Sequence[int], **inputs: torch.Tensor) -> torch.Tensor:
        try:
            with torch.inference_mode():
                output = self._model(**inputs, past_key_values=self._cache, use_cache=True, **self._last_only)
        except BaseException:  # some layers may have grown and others not
            self.clear()
            raise
        self._keys.extend(keys)
        logits: torch.Tensor = output.logits[0, -1]
        return logits


@dataclass
class Decoded:
    """What the loop produced; `text` is what the stop rule lets through of `token_ids`."""

    reason: StopReason
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str = ""
    n_said: int = 0
    """Tokens that said anything new, besides those that spelt the prompt's last word again."""
    n_forwards: int = 0
    """Passes through the model after the prompt's."""
    forks: list[Fork] = field(default_factory=list)

    def fork(self, others: Others) -> None:
        """The next token might have been one of `others`."""
        said, so_far = tuple(self.token_ids), sum(self.logprobs)
        self.forks += [Fork((*said, token_id), so_far + logprob) for token_id, logprob in others]


def decode_greedily(
    session: DecodingSession,
    logits: torch.Tensor,
    choice: GreedyChoice,
    tracker: StopTracker,
    limit: Callable[[Decoded], bool],
    halt: Halt,
    on_text: Callable[[str], None],
) -> Decoded:
    """Takes the token that `choice` names again and again, until `tracker`, `limit` or `halt` says stop.

    `logits` ``[V]`` are those of the last position that `session` read.
    """
    decoded = Decoded(StopReason.LIMIT)

    def say(text: str) -> None:
        decoded.text += text
        if text:
            on_text(text)

    while True:
        halted = StopReason.LIMIT if limit(decoded) else halt()
        if halted is not None:
            break
        if decoded.token_ids:
            logits = session.step(decoded.token_ids[-1])
            decoded.n_forwards += 1
        chosen = choice.next(logits)
        decoded.fork(chosen.others)
        if chosen.ends_text:
            halted = StopReason.END_OF_TEXT
            break
        decoded.token_ids.append(chosen.token_id)
        decoded.logprobs.append(chosen.logprob)
        decoded.n_said += chosen.says_new
        answer = tracker.feed(chosen.text)
        if isinstance(answer, Stop):
            say(answer.text)
            decoded.reason = answer.reason
            return decoded
        say(answer)
    decoded.reason = halted
    say(tracker.finish(halted))
    return decoded

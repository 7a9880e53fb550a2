"""What the other layers know of models: protocols and plain data, without torch.

Vectors cross the border as numpy arrays, text as ``str``. Every implementation is
called from one thread at a time (the inference lane); none of them locks.

Shape letters, here and everywhere: N texts, B parents, C children of one parent,
K retrieved nodes, M vectors of a node, D width of a stored vector, P pseudo-tokens,
H hidden size of the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.exact_memory import ExactMemory
from model.slot_pairs import SlotPairs

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

VECTOR_BLOCK = 64
"""So many numbers of a long stored vector share a scale; one of other length is stored in twice the bytes."""


class CancelSignal(Protocol):
    """Read before every token; once true it stays true."""

    @property
    def cancelled(self) -> bool: ...


class NeverCancelled:
    """The signal of work that nobody will cancel."""

    @property
    def cancelled(self) -> bool:
        return False


NEVER = NeverCancelled()


class Interrupted(Exception):
    """Work was left off because its signal was set, as if it had not begun."""


class Tokenizer(Protocol):
    """Text to token ids and back, without special tokens unless asked by name."""

    @property
    def eos_ids(self) -> frozenset[int]:
        """Every id after which the generator has nothing more to say."""
        ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def special_id(self, token: str) -> int | None:
        """The id of a special token such as ``<|fim_prefix|>``, or None if unknown."""
        ...


class Embedder(Protocol):
    """Texts to retrieval keys."""

    @property
    def model_id(self) -> str:
        """Names weights and settings; vectors of different ids never mix."""
        ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Keys ``[N, dimension]``, rows of unit length (all zeros for a text without tokens)."""
        ...


class Fuser(Protocol):
    """Compresses chunks into dense vectors, and children into their parents."""

    @property
    def model_id(self) -> str: ...

    @property
    def n_vectors(self) -> int:
        """M, the vectors kept of each node."""
        ...

    @property
    def dimension(self) -> int:
        """D, the width of a stored vector."""
        ...

    @property
    def max_children(self) -> int:
        """C, the most children one call of `fuse` may give a parent."""
        ...

    def encode(self, texts: Sequence[str], cancel: CancelSignal = NEVER) -> FloatArray:
        """Chunk texts to ``[N, M, D]``; may raise `Interrupted` once `cancel` is set."""
        ...

    def fuse(self, children: FloatArray, mask: BoolArray) -> FloatArray:
        """Children ``[B, C, M, D]`` with ``mask [B, C]`` (True = present) to ``[B, M, D]``.

        Masked children have no effect on the result, nor has the padding they stand for.
        """
        ...


PseudoTokens = FloatArray | SlotPairs
"""Rows ``[P, H]`` of the generator's input, or pairs that it takes over; `len` is the positions they take."""


class Projector(Protocol):
    """Retrieved vectors to pseudo-tokens in the generator's own input space."""

    @property
    def model_id(self) -> str: ...

    def project(
        self, vectors: FloatArray, levels: Sequence[int], budget: int, room: int | None = None
    ) -> PseudoTokens:
        """Vectors ``[K, M, D]`` of nodes, best first, to what at most `budget` pseudo-tokens hold.

        Pairs may take more positions than that, for one head has many and most have few; `room` is the most
        positions. `levels` holds each node's level: 0 chunk, 1 group, 2 file, 3 directory,
        4 repository. K = 0 or budget = 0 gives none, the plain generator.
        """
        ...


@dataclass(frozen=True)
class OpenText:
    """A file that is open, `before` the cursor and `after` it; `name` tells it from others.

    `head` is how `before` begins that is no part of the file.
    """

    name: str
    before: str
    after: str
    head: str = field(default="", compare=False)

    @cached_property
    def whole(self) -> str:
        return self.before + self.after


@dataclass(frozen=True)
class Prompt:
    """What the generator reads: pseudo-tokens first, then text.

    `token_ids` is laid out so that what does not change while typing comes first; `n_told` of them are
    retrieved text, and `told_ids` the tokens of the texts that slots stand for. `memory` is asked at each
    step what followed such words in the workspace. `open_text` names the file that the prompt ends with; what
    was read of it beforehand (`Generator.read_on`) need not be read again. `n_after` of the tokens come after
    those that stand before the cursor, of which the last `n_window` are the file's own, `n_path` before
    these its path.
    """

    token_ids: tuple[int, ...]
    pseudo_tokens: PseudoTokens | None = None
    memory: ExactMemory | None = field(default=None, compare=False)
    n_told: int = 0
    told_ids: tuple[int, ...] = ()
    open_text: str = ""
    n_after: int = 0
    n_window: int = 0
    n_path: int = 0


class StopMode(StrEnum):
    """Where a suggestion ends."""

    LINE = "line"
    BLOCK = "block"


class StopReason(StrEnum):
    """Why a generation ended."""

    LINE = "line"
    BLOCK = "block"
    END_OF_TEXT = "end_of_text"
    LIMIT = "limit"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Fork:
    """Where an answer might have gone on otherwise: its tokens up to there, and the other one.

    `logprob` is that of all of them together, so that forks of several answers can be compared.
    """

    token_ids: tuple[int, ...]
    logprob: float


@dataclass(frozen=True)
class StopRule:
    """When to stop decoding.

    `prefix` is the text before the cursor (its last lines suffice): the block mode reads
    from it the indentation and the open brackets. `deadline_s` is a `time.monotonic`
    instant. `begin`, a fork of an earlier answer to the same prompt, is how the answer begins,
    which is how alternatives are made; forks are looked for only if `wants_forks`.
    """

    max_tokens: int
    mode: StopMode = StopMode.LINE
    prefix: str = ""
    deadline_s: float | None = None
    begin: Fork | None = None
    wants_forks: bool = False


@dataclass(frozen=True)
class Generation:
    """What came out, and what it cost; `n_forwards` are passes after the prompt's. Milliseconds.

    Positions of the prompt were in the cache (`n_reused`), read (`n_prefilled`), beforehand (`n_read_before`)
    or as slots. At each token that was not given, `forks` has the likeliest others, if
    they were wanted.
    """

    text: str
    stop_reason: StopReason
    token_ids: tuple[int, ...] = ()
    mean_logprob: float = 0.0
    n_reused: int = 0
    n_prefilled: int = 0
    n_read_before: int = 0
    n_forwards: int = 0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    forks: tuple[Fork, ...] = ()


class FimOrder(StrEnum):
    """In which order a family reads prefix and suffix."""

    PREFIX_SUFFIX = "psm"
    SUFFIX_PREFIX = "spm"


@dataclass(frozen=True)
class FimTemplate:
    """The special tokens with which a family was taught to fill in the middle.

    With `within_lines_only` it is good for holes in a line, and not for whole lines between others.
    """

    prefix: str
    suffix: str
    middle: str
    order: FimOrder = FimOrder.PREFIX_SUFFIX
    stop: tuple[str, ...] = field(default=())
    within_lines_only: bool = False


class Generator(Protocol):
    """A causal code language model with a KV cache of its own."""

    @property
    def model_id(self) -> str: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def hidden_size(self) -> int: ...

    @property
    def context_window(self) -> int:
        """The most positions (pseudo-tokens, text and new tokens) it can read."""
        ...

    @property
    def fim(self) -> FimTemplate | None:
        """None for families that read only to the left."""
        ...

    def forget(self) -> None:
        """Drops what is kept of earlier prompts; the next one is read from its start, but for what was read
        of open files."""
        ...

    def read_on(self, text: OpenText, n_tokens: int, cancel: CancelSignal) -> bool:
        """Reads a piece of an open file before anybody asks; False where there is nothing left to read.

        At most `n_tokens` are kept, of all open files, those around the cursor first. May raise
        `Interrupted` once `cancel` is set.
        """
        ...

    def close_text(self, name: str) -> None:
        """Drops what was read of an open file. Any thread."""
        ...

    def n_to_read(self, prompt: Prompt) -> int:
        """Positions that `generate` would read now; the others are kept of the last prompt, or were read
        beforehand, or are slots."""
        ...

    def generate(
        self,
        prompt: Prompt,
        rule: StopRule,
        cancel: CancelSignal,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """Decode greedily until `rule` or `cancel` says stop; cancel is read before each token.

        `on_text` receives each piece of text as it becomes certain. The KV cache of the
        longest common prefix with the last prompt is reused.
        """
        ...

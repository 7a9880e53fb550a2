"""Models without weights: they satisfy `model.protocols`, run in microseconds and keep count.

Everything here is deterministic across processes (blake2b, never `hash`), imports no torch, and is
used by unit tests and by the stub server of the end-to-end tests alike.

    bundle = fake_bundle(generator=FakeGenerator(["return total"]))
    bundle = fake_bundle(generator=FakeGenerator(continuing("def f(x):\\n    return x + 1\\n")))
    bundle = fake_bundle(generator=FakeGenerator(inducing()))    # copies from its own prompt
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeVar

import numpy as np

from model.protocols import (
    NEVER,
    BoolArray,
    CancelSignal,
    FimTemplate,
    FloatArray,
    Fork,
    Fuser,
    Generation,
    OpenText,
    Projector,
    Prompt,
    StopMode,
    StopReason,
    StopRule,
)

_PIECE = re.compile(r"\r\n|\n|\r|[^\S\r\n]+|\w+|[^\w\s]")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SUBWORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

FAKE_FIM = FimTemplate("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", stop=("<|endoftext|>",))
_T = TypeVar("_T")
Script = Callable[[str, int], str]
"""The prompt's text and the branch to the text that the generator would say without end."""


class FakeTokenizer:
    """Words, runs of blanks, line ends and single marks are tokens; ids are given in order of sight.

    ``decode(encode(text)) == text`` for every text. Ids of two instances do not mix.
    """

    SPECIAL = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>")

    def __init__(self) -> None:
        self._texts: list[str] = list(self.SPECIAL)
        self._ids: dict[str, int] = {}

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset({0})

    def encode(self, text: str) -> list[int]:
        return [self._id(piece) for piece in _PIECE.findall(text)]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_PIECE.findall(text)) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self._texts[i] for i in ids)

    def special_id(self, token: str) -> int | None:
        return self.SPECIAL.index(token) if token in self.SPECIAL else None

    def _id(self, piece: str) -> int:
        if piece not in self._ids:
            self._texts.append(piece)
            self._ids[piece] = len(self._texts) - 1
        return self._ids[piece]


def scripted(texts: Sequence[str]) -> Script:
    """Answer by branch: branch 0 says the first text, branch 1 the second; past the end, the last."""
    return lambda _, branch: texts[min(branch, len(texts) - 1)] if texts else ""


def continuing(source: str) -> Script:
    """Know `source` by heart: say what follows the longest end of the prompt found in it."""
    return lambda prompt, _: _what_follows(prompt, source)


def inducing() -> Script:
    """Copy from the prompt itself: what followed an earlier occurrence of its longest repeated end.

    Shows in a test that context in the prompt changes the answer.
    """
    return lambda prompt, _: _what_follows(prompt, prompt[:-1])


def _what_follows(prompt: str, source: str) -> str:
    for length in range(min(len(prompt), 200), 0, -1):
        place = source.rfind(prompt[-length:])
        if place >= 0:
            return source[place + length :]
    return ""


@dataclass(frozen=True)
class GeneratorCall:
    """One call of `FakeGenerator.generate`. `n_after_cancel`: tokens that were under way at the cancel."""

    prompt: Prompt
    prompt_text: str
    rule: StopRule
    generation: Generation
    n_after_cancel: int


class FakeGenerator:
    """Says its script token by token, obeying the stop rule, the deadline and cancel.

    `delay_s` is slept for each token, so that a test can cancel in the middle; `first_token` is set
    when one was said. `calls` keeps every call, `n_tokens` counts tokens over all of them.
    A script in a list is answered by branch.
    """

    def __init__(
        self,
        script: Script | Sequence[str] = ("pass",),
        delay_s: float = 0.0,
        fim: FimTemplate | None = None,
        context_window: int = 2048,
        hidden_size: int = 8,
        tokenizer: FakeTokenizer | None = None,
    ) -> None:
        self.script: Script = script if callable(script) else scripted(script)
        self.delay_s = delay_s
        self.fim = fim
        self.context_window = context_window
        self.hidden_size = hidden_size
        self.model_id = "fake-generator"
        self.tokenizer = tokenizer or FakeTokenizer()
        self.calls: list[GeneratorCall] = []
        self.read: list[OpenText] = []
        self.closed: list[str] = []
        self.n_tokens = 0
        self.first_token = threading.Event()
        self._last: Prompt | None = None

    def forget(self) -> None:
        """Keeps nothing."""

    def read_on(self, text: OpenText, n_tokens: int, cancel: CancelSignal) -> bool:
        """Reads it all at once."""
        self.read.append(text)
        return False

    def close_text(self, name: str) -> None:
        self.closed.append(name)

    def n_to_read(self, prompt: Prompt) -> int:
        return len(prompt.token_ids) - self._common_prefix(prompt)

    def generate(
        self,
        prompt: Prompt,
        rule: StopRule,
        cancel: CancelSignal,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        began = time.perf_counter()
        prompt_text = self.tokenizer.decode(prompt.token_ids)
        n_reused = self._common_prefix(prompt)
        said: list[int] = []
        n_after_cancel = 0
        reason = StopReason.END_OF_TEXT
        branch = 0 if rule.begin is None else rule.begin.token_ids[0]
        for token in self.tokenizer.encode(self.script(prompt_text, branch)):
            stop = self._stop(token, said, rule, cancel)
            if stop is not None:
                reason = stop
                break
            if self.delay_s:
                time.sleep(self.delay_s)
            n_after_cancel += cancel.cancelled
            said.append(token)
            self.n_tokens += 1
            self.first_token.set()
            if on_text is not None:
                on_text(self.tokenizer.decode([token]))
        generation = Generation(
            text=self.tokenizer.decode(said),
            stop_reason=reason,
            token_ids=tuple(said),
            mean_logprob=-0.1 * (1 + branch),
            n_reused=n_reused,
            n_prefilled=len(prompt.token_ids) - n_reused,
            prefill_ms=0.0,
            decode_ms=(time.perf_counter() - began) * 1000,
            forks=(Fork((branch + 1,), -0.1 * (2 + branch)),),
        )
        self._last = prompt
        self.calls.append(GeneratorCall(prompt, prompt_text, rule, generation, n_after_cancel))
        return generation

    def _stop(self, token: int, said: list[int], rule: StopRule, cancel: CancelSignal) -> StopReason | None:
        if cancel.cancelled:
            return StopReason.CANCELLED
        if rule.deadline_s is not None and time.monotonic() >= rule.deadline_s:
            return StopReason.DEADLINE
        if len(said) >= rule.max_tokens:
            return StopReason.LIMIT
        if rule.mode is StopMode.LINE and self.tokenizer.decode([token]) in ("\n", "\r\n", "\r"):
            return StopReason.LINE
        return None

    def _common_prefix(self, prompt: Prompt) -> int:
        last = self._last
        if last is None or not _same_rows(last.pseudo_tokens, prompt.pseudo_tokens):
            return 0
        pairs = zip(last.token_ids, prompt.token_ids, strict=False)
        return next(
            (i for i, (a, b) in enumerate(pairs) if a != b), min(len(last.token_ids), len(prompt.token_ids))
        )


def _same_rows(a: FloatArray | None, b: FloatArray | None) -> bool:
    if a is None or b is None:
        return a is None and b is None
    return a.shape == b.shape and bool((a == b).all())


def terms_of(text: str) -> list[str]:
    """Identifiers and their subwords, lower-case: what the fakes hold to be a text's meaning."""
    terms: list[str] = []
    for word in _WORD.findall(text):
        terms.append(word.lower())
        terms.extend(part.lower() for part in _SUBWORD.findall(word) if part.lower() != word.lower())
    return terms


def _direction(term: str, dimension: int) -> FloatArray:
    seed = int.from_bytes(blake2b(term.encode("utf-8", "replace"), digest_size=8).digest(), "little")
    return np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)


class FakeEmbedder:
    """A text is the sum of directions of its identifiers and their subwords: like texts lie near."""

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension
        self.model_id = f"fake-embedder-{dimension}"
        self.n_embedded = 0
        self._directions: dict[str, FloatArray] = {}

    def embed(self, texts: Sequence[str]) -> FloatArray:
        self.n_embedded += len(texts)
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for term in terms_of(text):
                if term not in self._directions:
                    self._directions[term] = _direction(term, self.dimension)
                row += self._directions[term]
            norm = float(np.linalg.norm(row))
            if norm > 0:
                row /= norm
        return rows


class FakeFuser:
    """Chunks by a hash of their whole text; parents by a mean weighted by each child's slot.

    A different order of children gives a different parent, masked children have no effect, and a
    batch gives bit for bit what its rows give alone. `n_encoded` and `n_fused` count chunks and parents.
    """

    def __init__(self, n_vectors: int = 4, dimension: int = 8, max_children: int = 16) -> None:
        self.n_vectors = n_vectors
        self.dimension = dimension
        self.max_children = max_children
        self.model_id = f"fake-fuser-{n_vectors}x{dimension}"
        self.n_encoded = 0
        self.n_fused = 0

    def encode(self, texts: Sequence[str], cancel: CancelSignal = NEVER) -> FloatArray:
        self.n_encoded += len(texts)
        shape = (len(texts), self.n_vectors, self.dimension)
        rows = [_direction(text, self.n_vectors * self.dimension) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(shape)

    def fuse(self, children: FloatArray, mask: BoolArray) -> FloatArray:
        n_parents, n_slots = mask.shape
        expected = (n_parents, n_slots, self.n_vectors, self.dimension)
        assert children.shape == expected, f"children {children.shape}, expected {expected}"
        assert n_slots <= self.max_children, f"{n_slots} children, at most {self.max_children}"
        self.n_fused += n_parents
        total = np.zeros((n_parents, self.n_vectors, self.dimension), dtype=np.float32)
        weights = np.zeros((n_parents, 1, 1), dtype=np.float32)
        for slot in range(n_slots):
            present = mask[:, slot, None, None]
            weight = np.where(present, np.float32(1 + slot / 16), np.float32(0))
            total += np.where(present, children[:, slot], np.float32(0)) * weight
            weights += weight
        return np.tanh(total / np.maximum(weights, np.float32(1e-6))).astype(np.float32)


class FakeProjector:
    """Each vector becomes one pseudo-token: its first H numbers (zeros where D < H) plus its level."""

    def __init__(self, hidden_size: int = 8) -> None:
        self.hidden_size = hidden_size
        self.model_id = f"fake-projector-{hidden_size}"
        self.calls: list[tuple[int, tuple[int, ...], int, int | None]] = []
        """(K, levels, budget, room) of each call."""

    def project(
        self, vectors: FloatArray, levels: Sequence[int], budget: int, room: int | None = None
    ) -> FloatArray:
        n_nodes, n_vectors, dimension = vectors.shape
        assert len(levels) == n_nodes, f"{len(levels)} levels for {n_nodes} nodes"
        self.calls.append((n_nodes, tuple(levels), budget, room))
        rows = np.zeros((n_nodes * n_vectors, self.hidden_size), dtype=np.float32)
        width = min(dimension, self.hidden_size)
        rows[:, :width] = vectors.reshape(n_nodes * n_vectors, dimension)[:, :width]
        rows += np.repeat(np.asarray(levels, dtype=np.float32), n_vectors)[:, None]
        return rows[: budget if room is None else min(budget, room)]


@dataclass
class FakeBundle:
    """Has the fields of `model.bundle.ModelBundle`; make it with `fake_bundle`."""

    generator: FakeGenerator
    embedder: FakeEmbedder
    fuser: Fuser | None
    projector: Projector | None
    count_tokens: Callable[[Sequence[str]], list[int]]
    encode: Callable[[Sequence[str]], list[list[int]]]
    tokenizer_id: str = "fake-tokenizer"
    preferred_context: str = "text"
    fuses_on_demand: bool = False
    notes: tuple[str, ...] = field(default=())


def fake_bundle(
    generator: FakeGenerator | None = None,
    *,
    embedder: FakeEmbedder | None = None,
    with_fuser: bool = True,
    preferred_context: str = "text",
    fuses_on_demand: bool = False,
    notes: tuple[str, ...] = (),
) -> FakeBundle:
    """A whole set of fakes that fit each other; `with_fuser=False` leaves fuser and projector out."""
    generator = generator or FakeGenerator()
    return FakeBundle(
        generator=generator,
        embedder=embedder or FakeEmbedder(),
        fuser=FakeFuser() if with_fuser else None,
        projector=FakeProjector(generator.hidden_size) if with_fuser else None,
        count_tokens=generator.tokenizer.count,
        encode=lambda texts: [generator.tokenizer.encode(text) for text in texts],
        preferred_context=preferred_context,
        fuses_on_demand=fuses_on_demand,
        notes=notes,
    )


class ManualCancel:
    """A cancel signal that a test sets by hand, or that sets itself after some reads."""

    def __init__(self, after_reads: int | None = None) -> None:
        self._cancelled = False
        self._left = after_reads

    @property
    def cancelled(self) -> bool:
        if self._left is not None:
            self._cancelled = self._cancelled or self._left <= 0
            self._left -= 1
        return self._cancelled

    def cancel(self) -> None:
        self._cancelled = True


def compute_here(job: Callable[[], _T]) -> _T:
    """`indexer.index.Compute` without a lane: the caller's thread does the work."""
    return job()

"""The generator: a prompt and a stop rule in, text out, with the KV cache kept between requests.

Owns `HfGenerator`: fitting a prompt into the context window and keeping account of what it
cost. The cache and the loop over tokens are `model.decoding`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from model.candidates import CandidateReader
from model.choosing import GreedyChoice
from model.decoding import Decoded, DecodingSession, Halt, KvSession, decode_greedily
from model.drafting import DraftingSession
from model.errors import ModelTooLarge
from model.gate import Gate
from model.healing import Healing, Vocabulary
from model.interpolation import Interpolation
from model.loading import LoadedModel, is_out_of_memory
from model.protocols import (
    CancelSignal,
    FimTemplate,
    Generation,
    OpenText,
    Prompt,
    StopReason,
    StopRule,
)
from model.readings.open_files import OpenFiles
from model.readings.reader import OpenFileReader
from model.readings.standing import Standing
from model.recollection import Recollection
from model.runtime.fast_runtime import FastRuntime
from model.slots.layout import SlotLayout
from model.slots.reader import introduction_of
from model.stopping import StopTracker
from model.tasks import Task, Tasks
from model.token_texts import TokenTexts
from model.tokenization import HfTokenizer

log = logging.getLogger(__name__)


class HfGenerator:
    """A `model.protocols.Generator` over a transformers causal language model.

    Called from one thread at a time. An error, a halt or a cancel in the middle leaves a
    generator that answers the next request as a fresh one would.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        gate: Gate | None = None,
        session: DecodingSession | None = None,
        with_drafts: bool = True,
        open_files: OpenFiles | None = None,
    ) -> None:
        """`gate` says how far to trust the workspace's exact memory; without one it is not asked.

        `session` runs the model; without one it is run by transformers' own modules. Drafts are read where
        the session can verify them.
        """
        self._gate = gate
        self._with_drafts = with_drafts
        self._loaded = loaded
        self._session = KvSession(loaded.model) if session is None else session
        self._recollection = Recollection()
        self._vocabulary = Vocabulary(loaded.tokenizer)
        self._open_files = self._reader_of_open_files() if open_files is None else open_files
        self._standing = self._standing_of(self._open_files)
        self._tasks = Tasks(loaded, self._vocabulary, self.slot_layout, self._standing)
        self._texts = TokenTexts.of(loaded.tokenizer, loaded.vocabulary_size)

    @property
    def drafts(self) -> bool:
        """Whether several tokens may be read in one pass."""
        return self._with_drafts and self._gate is not None and isinstance(self._session, FastRuntime)

    def without_drafts(self) -> HfGenerator:
        """A generator of the same model and session that reads one token a pass."""
        return HfGenerator(self._loaded, self._gate, self._session, False, self._open_files)

    @property
    def model_id(self) -> str:
        return self._loaded.model_id

    @property
    def tokenizer(self) -> HfTokenizer:
        return self._loaded.tokenizer

    @property
    def loaded(self) -> LoadedModel:
        """The model that it runs."""
        return self._loaded

    @property
    def texts(self) -> TokenTexts:
        """What its tokens say."""
        return self._texts

    @property
    def hidden_size(self) -> int:
        return self._loaded.hidden_size

    @property
    def context_window(self) -> int:
        """Positions for pseudo-tokens, text and new tokens; the family's own first tokens are off."""
        return self._loaded.context_window - len(self.tokenizer.prefix_ids)

    @property
    def fim(self) -> FimTemplate | None:
        return self._loaded.fim

    @property
    def slot_layout(self) -> SlotLayout | None:
        """Whose pairs it takes over (`model.slots`); None where the session takes none."""
        session = self._session
        return session.layout if isinstance(session, FastRuntime) else None

    def forget(self) -> None:
        """Drops the KV cache and what was decoded."""
        self._session.clear()
        self._recollection.clear()
        if self._standing is not None:
            self._standing.forget()

    def read_on(self, text: OpenText, n_tokens: int, cancel: CancelSignal) -> bool:
        """Where our own runtime reads on a CPU; on a GPU a prompt is read as soon."""
        return self._open_files is not None and self._open_files.read_on(text, n_tokens, cancel)

    def close_text(self, name: str) -> None:
        if self._open_files is not None:
            self._open_files.forget(name)
        if self._standing is not None:
            self._standing.forget(name)

    def n_to_read(self, prompt: Prompt) -> int:
        inputs = self._tasks.task_of(prompt, StopRule(max_tokens=1)).inputs
        return inputs.n_to_read(self._session.n_shared(inputs.keys), len(inputs.keys))

    def read_along(self, prompt: Prompt, text: str) -> ReadAlong:
        """What the model says at each token of `text`, were it to follow `prompt` in decoding.

        The prompt's last word is spelt again, as there. Nothing of `text` stays in the cache. Raises
        ValueError for a text that does not fit the context window.
        """
        task = self._tasks.task_of(prompt, StopRule(max_tokens=1))
        token_ids = self.tokenizer.encode(task.healed + text)
        if not token_ids or len(token_ids) > task.n_decoded:
            raise ValueError(f"{len(token_ids)} tokens to read along; there is room for {task.n_decoded}")
        task = self._lifted(task)
        self._session.rewind(task.inputs.keys)
        first = self._session.prefill(task.inputs, lambda: None)
        assert not isinstance(first, StopReason)
        logits = [first.float().cpu()[None]]
        if isinstance(self._session, FastRuntime) and len(token_ids) > 1:
            logits.append(self._session.verify(token_ids[:-1]).float().cpu())
        else:
            logits += [self._session.step(token).float().cpu()[None] for token in token_ids[:-1]]
        self._session.rewind((*task.inputs.keys, -1))
        return ReadAlong(task.inputs.ids, tuple(token_ids), torch.cat(logits), task.healed)

    def generate(
        self,
        prompt: Prompt,
        rule: StopRule,
        cancel: CancelSignal,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """Decodes greedily; see the protocol. `token_ids` holds all that was decoded.

        That includes text cut off by the rule, and the prompt's last word, which is read as text
        and spelt again (`model.healing`). Text that does not fit the context window loses its
        left end. Raises ValueError for pseudo-tokens of another width or too many,
        ModelTooLarge where memory runs out.
        """
        task = self._tasks.task_of(prompt, rule)
        try:
            return self._generate(task, rule, _halt(rule, cancel), on_text or _ignore)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._session.clear()
            raise ModelTooLarge(
                f"memory ran out while {self.model_id} read {len(task.inputs.keys)} tokens; lower "
                "context.prefixTokens and context.textTokens, or choose a smaller model"
            ) from error

    def _generate(self, task: Task, rule: StopRule, halt: Halt, on_text: Callable[[str], None]) -> Generation:
        began = time.perf_counter()
        task = self._lifted(task)
        n_reused = self._session.rewind(task.inputs.keys)
        interpolation = self._interpolation(task)
        session = self._drafting(task, rule, interpolation) or self._session
        logits = session.prefill(task.inputs, halt)
        n_read = session.n_positions
        prefilled = time.perf_counter()
        if isinstance(logits, StopReason):
            decoded = Decoded(logits)
        else:
            healing = Healing(self._vocabulary, task.healed)
            choice = GreedyChoice(self.tokenizer, healing, rule, interpolation)
            tracker = StopTracker(rule)
            decoded = decode_greedily(session, logits, choice, tracker, task.is_spent, halt, on_text)
        if isinstance(session, DraftingSession):
            decoded.n_forwards = session.n_forwards
            if rule.begin is None:
                self._recollection.keep(task.inputs.keys, decoded.token_ids)
        n_tokens = len(decoded.token_ids)
        return Generation(
            text=decoded.text,
            stop_reason=decoded.reason,
            token_ids=tuple(decoded.token_ids),
            mean_logprob=sum(decoded.logprobs) / n_tokens if n_tokens else 0.0,
            n_reused=n_reused,
            n_prefilled=task.inputs.n_to_read(n_reused, n_read),
            n_read_before=task.inputs.n_read_before(n_reused, n_read),
            n_forwards=decoded.n_forwards,
            prefill_ms=1000 * (prefilled - began),
            decode_ms=1000 * (time.perf_counter() - prefilled),
            forks=tuple(decoded.forks),
        )

    def _drafting(
        self, task: Task, rule: StopRule, interpolation: Interpolation | None
    ) -> DraftingSession | None:
        """A session that looks ahead, where there is something to look for."""
        if interpolation is None or not self._with_drafts or not isinstance(self._session, FastRuntime):
            return None
        known = self._recollection.after(task.inputs.keys) if rule.begin is None else rule.begin.token_ids
        return DraftingSession(self._session, interpolation, known)

    def _interpolation(self, task: Task) -> Interpolation | None:
        prompt = task.prompt
        if self._gate is None or prompt.memory is None:
            return None
        reader = CandidateReader(
            prompt.memory, self._texts, task.inputs.ids, task.healed, prompt.n_told, prompt.told_ids
        )
        return Interpolation(reader, self._gate)

    def _lifted(self, task: Task) -> Task:
        """With the pairs of the last prompt that stand elsewhere in this one."""
        if self._standing is None or task.file is None:
            return task
        return replace(task, inputs=self._standing.lifted(task.inputs, task.file))

    def _standing_of(self, open_files: OpenFiles | None) -> Standing | None:
        if open_files is None or not isinstance(self._session, FastRuntime):
            return None
        return Standing(self._session, open_files, introduction_of(self.tokenizer))

    def _reader_of_open_files(self) -> OpenFiles | None:
        session = self._session
        if not isinstance(session, FastRuntime) or self._loaded.device != "cpu":
            return None
        return OpenFiles(
            OpenFileReader(session.stack, introduction_of(self.tokenizer)), self.tokenizer.encode
        )


@dataclass(frozen=True, eq=False)
class ReadAlong:
    """`logits` ``[n, V]`` before each of the `n` `token_ids` that follow `context_ids`.

    The first of them spell `healed`, the prompt's last word, again.
    """

    context_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logits: torch.Tensor
    healed: str


def _halt(rule: StopRule, cancel: CancelSignal) -> Halt:
    def halt() -> StopReason | None:
        if cancel.cancelled:
            return StopReason.CANCELLED
        if rule.deadline_s is not None and time.monotonic() >= rule.deadline_s:
            return StopReason.DEADLINE
        return None

    return halt


def _ignore(text: str) -> None:
    """For callers that do not stream."""

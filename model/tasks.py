"""From a prompt to what the generator reads and spells again.

Owns the cutting to the context window, the check of pseudo-tokens, and which positions need not be read
because they were read beforehand. Decoding is `model.generator`'s.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from model.decoding import Decoded, Inputs
from model.healing import Vocabulary
from model.loading import LoadedModel
from model.protocols import Prompt, PseudoTokens, SlotPairs, StopRule
from model.readings.open_files import OpenFiles
from model.slots.layout import SlotLayout
from model.slots.reader import introduction_of

log = logging.getLogger(__name__)

READ_ANYWAY = 64
"""Tokens before the cursor that are read whatever was read beforehand."""


@dataclass(frozen=True)
class Task:
    """What is read of `prompt`, what is spelt again after it, how many tokens may be said and decoded."""

    prompt: Prompt
    inputs: Inputs
    healed: str
    n_new: int
    n_decoded: int

    def is_spent(self, decoded: Decoded) -> bool:
        return decoded.n_said >= self.n_new or len(decoded.token_ids) >= self.n_decoded


class Tasks:
    """Of one generator; `layout` says which slots it takes, None none, `open_files` what it read of them."""

    def __init__(
        self,
        loaded: LoadedModel,
        vocabulary: Vocabulary,
        layout: SlotLayout | None,
        open_files: OpenFiles | None,
    ) -> None:
        self._loaded, self._vocabulary, self._layout = loaded, vocabulary, layout
        self._open_files = open_files
        self._introduction = introduction_of(loaded.tokenizer)

    def task_of(self, prompt: Prompt, rule: StopRule) -> Task:
        """The prompt cut at its left to fit and at its right to be spelt again."""
        rows = self._rows(prompt)
        are_slots = isinstance(rows, SlotPairs)
        before = self._introduction if are_slots else self._loaded.tokenizer.prefix_ids
        n_rows = 0 if rows is None else len(rows)
        room = self._loaded.context_window - len(before) - n_rows
        if room < 2:
            raise ValueError(
                f"{n_rows} pseudo-tokens leave no room in a context window of {self._loaded.context_window}; "
                "lower context.pseudoTokens"
            )
        ids = prompt.token_ids
        n_new = min(rule.max_tokens, max(room // 2, room - len(ids)))
        n_cut = max(0, len(ids) - (room - n_new))
        if n_cut:
            log.debug("prompt of %d tokens cut by %d to fit %d", len(ids), n_cut, self._loaded.context_window)
            ids = ids[n_cut:]
        n_taken, healed = self._vocabulary.tail(ids)
        n_before = 0 if are_slots else n_rows + len(before)
        if n_taken < len(ids) + n_before:
            ids = ids[: len(ids) - n_taken]
        else:  # something must be read
            healed = ""
        inputs = Inputs(before, rows, ids)
        if are_slots and not ids:  # logits come of what is read, and slots are not
            inputs = Inputs(self._loaded.tokenizer.prefix_ids, None, ())
        if not inputs.keys:
            inputs = Inputs((), None, (self._start_id(),))
        if are_slots or rows is None:
            inputs = self._with_runs(inputs, prompt, self._loaded.context_window - n_new)
        return Task(prompt, inputs, healed, n_new, room - len(ids))

    def _with_runs(self, inputs: Inputs, prompt: Prompt, most: int) -> Inputs:
        """What was read beforehand need not be read; it was read behind the introduction, which so comes
        first. The last tokens see everything that is told, and so are read in any case."""
        if self._open_files is None or not prompt.open_text:
            return inputs
        is_introduced = inputs.ids[: len(self._introduction)] == self._introduction
        before = inputs.before if inputs.slots or is_introduced else self._introduction
        moved = Inputs(before, inputs.rows, inputs.ids)
        end = len(moved.keys) - prompt.n_after - READ_ANYWAY
        runs = self._open_files.runs_in(prompt.open_text, moved.keys, moved.places[1], end)
        return replace(moved, runs=runs) if runs and len(moved.keys) <= most else inputs

    def _rows(self, prompt: Prompt) -> PseudoTokens | None:
        """None for no pseudo-tokens; raises ValueError unless they are this generator's."""
        rows = prompt.pseudo_tokens
        if rows is None or len(rows) == 0:
            return None
        if isinstance(rows, SlotPairs):
            if self._layout is None:
                raise ValueError("pairs of key and value need our own runtime; make memories of vectors")
            self._layout.check(rows)
        elif rows.ndim != 2 or rows.shape[1] != self._loaded.hidden_size:
            raise ValueError(f"pseudo-tokens are {rows.shape}, expected [P, {self._loaded.hidden_size}]")
        return rows

    def _start_id(self) -> int:
        """What an empty prompt is taken for, as a model must read something: an end of the text before."""
        return min(self._loaded.tokenizer.eos_ids, default=0)

"""From a prompt to what the generator reads and spells again.

Owns the cutting to the context window and the check of pseudo-tokens. Which positions need not be read is
`model.readings.standing`'s, decoding `model.generator`'s.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from model.decoding import Decoded, Inputs
from model.healing import Vocabulary
from model.loading import LoadedModel
from model.protocols import Prompt, PseudoTokens, StopRule
from model.readings.standing import FilePart, Standing
from model.slot_pairs import SlotPairs
from model.slots.layout import SlotLayout
from model.slots.reader import introduction_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is read of `prompt`, what is spelt again after it, how many tokens may be said and decoded.

    `file` is the open file's part of it, where that was told.
    """

    prompt: Prompt
    inputs: Inputs
    healed: str
    n_new: int
    n_decoded: int
    file: FilePart | None = None

    def is_spent(self, decoded: Decoded) -> bool:
        return decoded.n_said >= self.n_new or len(decoded.token_ids) >= self.n_decoded


class Tasks:
    """Of one generator; `layout` says which slots it takes, None none, `standing` what need not be read."""

    def __init__(
        self,
        loaded: LoadedModel,
        vocabulary: Vocabulary,
        layout: SlotLayout | None,
        standing: Standing | None,
    ) -> None:
        self._loaded, self._vocabulary, self._layout = loaded, vocabulary, layout
        self._standing = standing
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
        n_read, (n_taken, healed) = len(ids), self._vocabulary.tail(ids)
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
        file = _file_of(prompt, inputs, n_read)
        if file is not None and self._standing is not None and (are_slots or rows is None):
            inputs, file = self._standing.found(inputs, file, self._loaded.context_window - n_new)
        return Task(prompt, inputs, healed, n_new, room - len(ids), file)

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


def _file_of(prompt: Prompt, inputs: Inputs, n_read: int) -> FilePart | None:
    """Where the open file's window begins, of whose prompt `n_read` tokens were left at its right end."""
    if not prompt.open_text:
        return None
    first, begin = inputs.places[1], n_read - prompt.n_after - prompt.n_window
    told_end = max(0, begin - prompt.n_path)
    told = first + max(0, told_end - prompt.n_told), first + told_end
    return FilePart(prompt.open_text, first + max(0, begin), prompt.n_after, told)

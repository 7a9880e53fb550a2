"""Drafts: tokens that are expected, read together with the one that was chosen.

Owns the bookkeeping. What the exact memory expects is guessed by `model.guessing`; what an earlier answer
said comes first (`model.recollection`). Decoding chooses each token as without drafts, from the logits that
it would have had anyway; a guess that was right only saves the forward pass. So drafts change nothing of
what is said wherever `verify` gives the logits of `step` (`model.runtime`).

The idea is that of prompt lookup and REST (He et al. 2024): what was copied so far goes on as it did there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Protocol

import torch

from model.decoding import DecodingSession, Halt, Inputs
from model.exact_memory import Kin, Match
from model.guessing import guess
from model.protocols import StopReason
from model.runtime.row_costs import MOST_ROWS, RowCosts


class VerifyingSession(DecodingSession, Protocol):
    """A session that reads several tokens at once."""

    @property
    def row_costs(self) -> RowCosts:
        """What passes of several tokens cost."""
        ...

    def verify(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Reads tokens in one forward pass; gives the logits ``[n, V]`` after each."""
        ...

    def drop(self, n_dropped: int) -> None:
        """Forgets the last positions."""
        ...


class Foresight(Protocol):
    """Says what the memory knows of the words so far; `model.interpolation.Interpolation` does."""

    def known(self) -> tuple[Sequence[Match], Sequence[Kin]]: ...


MOST_RECALLED = MOST_ROWS - 1
"""Tokens of an earlier answer read in one pass: a pass is what a cancel waits for."""


class DraftingSession:
    """A session for one generation whose `step` looks ahead. Satisfies `DecodingSession`.

    Invariant: the session has read what was stepped, and after it the tokens of `_ahead`, unconfirmed.
    """

    def __init__(self, session: VerifyingSession, foresight: Foresight, recalled: Sequence[int] = ()) -> None:
        """`recalled` is what followed the prompt before; it is guessed while it comes true."""
        self._session, self._foresight = session, foresight
        self._recalled = deque(recalled)
        self._ahead: deque[tuple[int, torch.Tensor]] = deque()
        self.n_forwards = 0

    @property
    def n_positions(self) -> int:
        return self._session.n_positions - len(self._ahead)

    def clear(self) -> None:
        self._ahead.clear()
        self._session.clear()

    def n_shared(self, keys: Sequence[int]) -> int:
        return self._session.n_shared(keys)

    def rewind(self, keys: Sequence[int]) -> int:
        self._ahead.clear()  # what they name is in the session's own keys
        return self._session.rewind(keys)

    def prefill(self, inputs: Inputs, halt: Halt) -> torch.Tensor | StopReason:
        """As the session's; a few last tokens are read together with what is expected after them."""
        self._ahead.clear()
        left = self._few_left(inputs)
        drafts = self._drafts()[: MOST_ROWS - len(left)] if left else ()
        if not drafts:
            return self._session.prefill(inputs, halt)
        reason = halt()
        return self._read((*left, *drafts), drafts) if reason is None else reason

    def _few_left(self, inputs: Inputs) -> tuple[int, ...]:
        """The tokens still to be read, if they are so few that they take the pass of a draft."""
        begin, end = self._session.n_positions, len(inputs.keys)
        left = inputs.keys[begin:]
        is_few = len(left) <= min(self._session.row_costs.n_few, MOST_ROWS - 1)
        are_tokens = inputs.n_to_read(begin, end) == len(left) and all(key >= 0 for key in left)
        return left if is_few and are_tokens else ()

    def step(self, token_id: int) -> torch.Tensor:
        """The logits after `token_id`, from an earlier pass where it was guessed."""
        if self._recalled and self._recalled.popleft() != token_id:
            self._recalled.clear()
        if self._ahead and self._ahead[0][0] == token_id:
            return self._ahead.popleft()[1]
        self._session.drop(len(self._ahead))
        self._ahead.clear()
        drafts = self._drafts()
        self.n_forwards += 1
        return self._read((token_id, *drafts), drafts)

    def _read(self, token_ids: Sequence[int], drafts: Sequence[int]) -> torch.Tensor:
        """The logits after the last of `token_ids` that is no draft."""
        logits = self._session.verify(token_ids)
        first = len(token_ids) - len(drafts)
        self._ahead.extend(zip(drafts, logits[first:], strict=True))
        return logits[first - 1]

    def _drafts(self) -> tuple[int, ...]:
        recalled = tuple(islice(self._recalled, MOST_RECALLED))
        return recalled or guess(*self._foresight.known(), self._session.row_costs.costs)

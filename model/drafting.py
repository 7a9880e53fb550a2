"""Drafts: tokens that the exact memory expects, read together with the one that was chosen.

Owns the guess and the bookkeeping. Decoding chooses each token as without drafts, from the logits that it
would have had anyway; a guess that was right only saves the forward pass. So drafts change nothing of what
is said wherever `verify` gives the logits of `step` (`model.runtime`).

The idea is that of prompt lookup and REST (He et al. 2024): what was copied so far goes on as it did there.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import torch

from model.decoding import DecodingSession, Halt, Inputs
from model.exact_memory import Match
from model.protocols import StopReason

MOST_GUESSED = 7
WORTH_A_ROW = 0.3
"""Another row makes a pass a sixth longer; it is read while it is right so often."""


class VerifyingSession(DecodingSession, Protocol):
    """A session that reads several tokens at once."""

    def verify(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Reads tokens in one forward pass; gives the logits ``[n, V]`` after each."""
        ...

    def drop(self, n_dropped: int) -> None:
        """Forgets the last positions."""
        ...


class Foresight(Protocol):
    """Says what the memory knows of the words so far; `model.interpolation.Interpolation` does."""

    def match_after(self, token_id: int) -> Match | None: ...


class DraftingSession:
    """A session for one generation whose `step` looks ahead. Satisfies `DecodingSession`.

    Invariant: the session has read what was stepped, and after it the tokens of `_ahead`, unconfirmed.
    """

    def __init__(self, session: VerifyingSession, foresight: Foresight) -> None:
        self._session, self._foresight = session, foresight
        self._ahead: deque[tuple[int, torch.Tensor]] = deque()
        self.n_forwards = 0

    @property
    def n_positions(self) -> int:
        return self._session.n_positions - len(self._ahead)

    def clear(self) -> None:
        self._ahead.clear()
        self._session.clear()

    def rewind(self, keys: Sequence[int]) -> int:
        self._ahead.clear()  # what they name is in the session's own keys
        return self._session.rewind(keys)

    def prefill(self, inputs: Inputs, halt: Halt) -> torch.Tensor | StopReason:
        self._ahead.clear()
        return self._session.prefill(inputs, halt)

    def step(self, token_id: int) -> torch.Tensor:
        """The logits after `token_id`, from an earlier pass where it was guessed."""
        if self._ahead and self._ahead[0][0] == token_id:
            return self._ahead.popleft()[1]
        self._session.drop(len(self._ahead))
        self._ahead.clear()
        drafts = self._drafts(token_id)
        logits = self._session.verify((token_id, *drafts))
        self.n_forwards += 1
        self._ahead.extend(zip(drafts, logits[1:], strict=True))
        return logits[0]

    def _drafts(self, token_id: int) -> tuple[int, ...]:
        match = self._foresight.match_after(token_id)
        return () if match is None else match.candidates[0].ahead[: n_guessed(match)]


def n_guessed(match: Match) -> int:
    """How many tokens after a match are worth reading along.

    The best candidate is right the oftener the longer the match, and much more often where several places
    agree. The curves follow counts at 7,000 steps of training repositories (docs/log.md).
    """
    best = match.candidates[0]
    if best.count < match.support:
        likely = 0.7 * best.count / match.support
    elif match.support > 1:
        likely = 1 - 0.55 / match.length**0.9
    else:
        likely = 1 - 0.75 / match.length**0.6
    return min(MOST_GUESSED, int(math.log(WORTH_A_ROW) / math.log(min(likely, 0.99)))) if likely > 0 else 0

"""Which token comes next, and which others might have.

Owns the greedy choice of one generation, how it begins where that is given, and the prompt's last word, which
is spelt again (`model.healing`). The loop over tokens is `model.decoding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model.healing import Healing
from model.interpolation import Interpolation
from model.protocols import StopRule
from model.scores import best_of, log_total, scores_of
from model.tokenization import HfTokenizer, TextStream

RUNNERS_UP = 3
"""Tokens that a fork may take at one place."""

Others = tuple[tuple[int, float], ...]
"""Tokens with their log-probabilities."""


@dataclass(frozen=True)
class Chosen:
    """A token, its log-probability among those allowed, and the new text that it makes certain.

    `others` would have said something else in its place, the likeliest first.
    """

    token_id: int
    logprob: float
    text: str = ""
    says_new: bool = True
    ends_text: bool = False
    others: Others = ()


class GreedyChoice:
    """The tokens that `rule` gives, then always the likeliest."""

    def __init__(
        self,
        tokenizer: HfTokenizer,
        healing: Healing,
        rule: StopRule,
        memory: Interpolation | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._memory = memory
        self._healing = healing
        self._begin = rule.begin
        self._left = [] if rule.begin is None else list(reversed(rule.begin.token_ids))
        self._n_best = 1 + (RUNNERS_UP if rule.wants_forks else 0)
        self._stream = TextStream(tokenizer)

    def next(self, logits: torch.Tensor) -> Chosen:
        """The choice by the logits ``[V]``, mixed with the memory; each call goes on from the last.

        The tokens of `begin` count together: those before its last have a log-probability of 0.
        """
        chosen = self._given() if self._left else self._likeliest(logits)
        if self._memory is not None:
            self._memory.push(chosen.token_id)
        return chosen

    def _given(self) -> Chosen:
        assert self._begin is not None
        token_id = self._left.pop()
        return self._chosen(token_id, 0.0 if self._left else self._begin.logprob)

    def _likeliest(self, logits: torch.Tensor) -> Chosen:
        scores = scores_of(logits) if self._memory is None else self._memory.mixed(logits)
        allowed = self._healing.allowed
        if allowed is not None:
            scores = scores.take(allowed)
        # Mixed ones are log-probabilities, unless only a part of them counts.
        total = log_total(scores) if self._memory is None or allowed is not None else 0.0
        places = best_of(scores, self._n_best)
        logprobs = [float(scores[place]) - total for place in places]
        (token_id, logprob), *others = zip(_ids(places, allowed), logprobs, strict=True)
        return self._chosen(token_id, logprob, tuple(other for other in others if self._says_else(other[0])))

    def _says_else(self, token_id: int) -> bool:
        """Whether a token is no end of the text, and does not only spell the prompt's last word otherwise."""
        if token_id in self._tokenizer.eos_ids:
            return False
        return not self._healing.text or self._healing.goes_beyond(self._tokenizer.decode([token_id]))

    def _chosen(self, token_id: int, logprob: float, others: Others = ()) -> Chosen:
        if self._healing.text:
            new = self._healing.take(self._tokenizer.decode([token_id]))
            return Chosen(token_id, logprob, new, says_new=bool(new), others=others)
        if token_id in self._tokenizer.eos_ids:
            return Chosen(token_id, logprob, ends_text=True, others=others)
        return Chosen(token_id, logprob, self._stream.push(token_id), others=others)


def _ids(places: Sequence[int], allowed: Sequence[int] | None) -> Sequence[int]:
    return places if allowed is None else [allowed[place] for place in places]

r"""Token healing: the last word of a prompt is read as text, not as the tokens it happens to make.

A cursor cuts text where no tokenizer would. `"\n    "` is one token, but before `return` the
model was taught `"\n   "` and `" return"`; after the first it hardly ever says `return`. So the
last word, blank or mark of the prompt is taken back, and the first new tokens must spell it
again: the model goes on from a boundary of its own choice.

Owns the choice of what is taken back and which tokens may follow. Measured with the embedded
model on cursors in the standard library, share of next words that are right, without and with:
after indentation 0 and 43%, after a space 5 and 55%, inside a word 5 and 85%.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from model.tokenization import REPLACEMENT, HfTokenizer

MOST_TOKENS_TAKEN_BACK = 4
_LAST_WORD = re.compile(r"(?:\s?\w+|\s+|[^\w\s]+)\Z")


class Vocabulary:
    """The texts of a tokenizer's ordinary tokens, sorted (0.3 s for 50,000)."""

    def __init__(self, tokenizer: HfTokenizer) -> None:
        self._tokenizer = tokenizer
        texts = tokenizer.texts_of_ordinary_tokens()
        self._sorted = sorted((text, i) for i, text in texts.items() if text and REPLACEMENT not in text)
        self._ids = dict(self._sorted)
        self.continuing = lru_cache(maxsize=256)(self._continuing)

    def _continuing(self, text: str) -> tuple[int, ...]:
        """Ids of the tokens that begin with `text`, or that `text` begins with."""
        start = bisect_left(self._sorted, (text, -1))
        ids = [self._ids[text[:length]] for length in range(1, len(text)) if text[:length] in self._ids]
        for known, number in self._sorted[start:]:
            if not known.startswith(text):
                break
            ids.append(number)
        return tuple(ids)

    def spells(self, text: str) -> bool:
        """Whether `text` can be said in whatever pieces: each of its characters is a token."""
        return all(character in self._ids for character in text)

    def tail(self, ids: Sequence[int]) -> tuple[int, str]:
        """How many of the last `ids` to take back, and the text that they stand for.

        Nothing is taken back of special tokens, nor of characters that take several tokens.
        """
        if not ids:
            return 0, ""
        last = ids[-MOST_TOKENS_TAKEN_BACK:]
        words = [self._tokenizer.decode([number]) for number in last]
        text = "".join(words)
        match = _LAST_WORD.search(text)
        if match is None or not self._tokenizer.is_ordinary(last[-1]):
            return 0, ""
        n_taken, taken = 0, ""
        while n_taken < len(last) and len(taken) < len(match.group()):
            n_taken += 1
            taken = words[-n_taken] + taken
        ordinary = all(self._tokenizer.is_ordinary(number) for number in last[len(last) - n_taken :])
        return (n_taken, taken) if ordinary and self.spells(taken) else (0, "")


class Healing:
    """What is left to be spelt again; shrinks as tokens come."""

    def __init__(self, vocabulary: Vocabulary, text: str) -> None:
        self._vocabulary = vocabulary
        self.text = text

    @property
    def allowed(self) -> tuple[int, ...] | None:
        """The ids that may come next; None for all."""
        return self._vocabulary.continuing(self.text) if self.text else None

    def goes_beyond(self, piece: str) -> bool:
        """Whether a token of text `piece` says anything new."""
        return len(piece) > len(self.text)

    def take(self, piece: str) -> str:
        """Spells on with `piece`; gives what of it is new."""
        new = piece[len(self.text) :]
        self.text = self.text[len(piece) :]
        return new

"""What each token of a vocabulary says, as far as weighing candidates needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.protocols import BoolArray
from model.tokenization import HfTokenizer


@dataclass(frozen=True, eq=False)
class TokenTexts:
    """By id: whether a token ends the line (or the text), ``[V]``, and how many characters it has."""

    ends_line: BoolArray
    n_chars: Sequence[int]

    @staticmethod
    def of(tokenizer: HfTokenizer, vocabulary_size: int) -> TokenTexts:
        """For a model with so many logits; 0.1 s for 50,000."""
        texts = tokenizer.texts_of_ordinary_tokens()
        size = max(vocabulary_size, 1 + max(texts, default=0), 1 + max(tokenizer.eos_ids, default=0))
        ends, n_chars = np.zeros(size, dtype=np.bool_), [0] * size
        for number, text in texts.items():
            n_chars[number] = len(text)
            ends[number] = text.startswith("\n")
        ends[list(tokenizer.eos_ids)] = True
        return TokenTexts(ends, n_chars)

"""A generator that has all but its answers from another one.

Owns the delegation, for those who change only how a prompt is decoded: rivals and comparisons.
"""

from __future__ import annotations

from model.generator import HfGenerator
from model.protocols import CancelSignal, FimTemplate, OpenText, Prompt
from model.tokenization import HfTokenizer


class DelegatingGenerator:
    """All of a `model.protocols.Generator` but `generate`; `of` is whose."""

    def __init__(self, of: HfGenerator) -> None:
        self.of = of

    @property
    def model_id(self) -> str:
        return self.of.model_id

    @property
    def tokenizer(self) -> HfTokenizer:
        return self.of.tokenizer

    @property
    def hidden_size(self) -> int:
        return self.of.hidden_size

    @property
    def context_window(self) -> int:
        return self.of.context_window

    @property
    def fim(self) -> FimTemplate | None:
        return self.of.fim

    def forget(self) -> None:
        self.of.forget()

    def read_on(self, text: OpenText, n_tokens: int, cancel: CancelSignal) -> bool:
        return self.of.read_on(text, n_tokens, cancel)

    def close_text(self, name: str) -> None:
        self.of.close_text(name)

    def n_to_read(self, prompt: Prompt) -> int:
        return self.of.n_to_read(prompt)

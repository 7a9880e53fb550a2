"""What a database of chunks stands on. Owns the text by which two of them are told apart."""

from __future__ import annotations

from dataclasses import dataclass

from indexer.masking import MASKING_VERSION
from indexer.migrations import MIGRATIONS


@dataclass(frozen=True)
class StoreIdentity:
    """What the stored chunks depend on; a database of another identity is made anew."""

    chunker: int
    tokenizer: str
    masking: int = MASKING_VERSION

    @property
    def text(self) -> str:
        chunks = f"format {len(MIGRATIONS)}, chunker {self.chunker}, tokenizer {self.tokenizer}"
        return f"{chunks}{self.masking_text}"

    @property
    def masking_text(self) -> str:
        """The end of `text`."""
        return f", masking {self.masking}"

"""What a filter takes and gives: the suggestion as it stands, and the document around it.

A filter is pure. It may take text away and may change white space; it never adds anything else, for
what a user accepts must have come from the generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hef_lsp.text_lines import first_line, last_line
from indexer.languages import line_comment


@dataclass(frozen=True)
class Draft:
    r"""`text` would be inserted between `prefix` and `suffix`; all lines end in ``\n``.

    `language` is None where it is unknown. `secrets` are those met in open documents.
    """

    text: str
    prefix: str
    suffix: str
    multiline: bool
    language: str | None = None
    secrets: frozenset[str] = frozenset()

    @property
    def line_prefix(self) -> str:
        """The cursor's line up to the cursor."""
        return last_line(self.prefix)

    @property
    def line_suffix(self) -> str:
        """The cursor's line from the cursor on."""
        return first_line(self.suffix)

    @property
    def comment(self) -> str:
        """What opens a line comment here."""
        return line_comment(self.language)

    @property
    def lines(self) -> list[str]:
        """The lines that the document would have: the first one begins before the cursor."""
        first, *rest = self.text.split("\n")
        return [self.line_prefix + first, *rest]

    def with_text(self, text: str) -> Draft:
        return self if text == self.text else replace(self, text=text)

    def first_lines(self, n_lines: int) -> Draft:
        """Only the first `n_lines` lines of the text."""
        return self.with_text("\n".join(self.text.split("\n")[:n_lines]))


Filter = Callable[[Draft], Draft | None]
"""None: there is nothing worth suggesting."""

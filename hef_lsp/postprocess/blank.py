"""Says no to a suggestion without content: nothing, white space, or stray punctuation."""

from __future__ import annotations

from hef_lsp.postprocess.draft import Draft
from hef_lsp.text_lines import has_word

_CONTENT = frozenset("()[]{}\"'`<>")
"""Marks that close or open something; other punctuation alone is noise."""


def drop_blank(draft: Draft) -> Draft | None:
    """None unless there is a word, a bracket, a quote, or Python's ``...``."""
    text = draft.text
    if has_word(text) or "..." in text or not _CONTENT.isdisjoint(text):
        return draft
    return None

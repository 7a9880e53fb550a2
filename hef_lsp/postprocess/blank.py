"""Says no to a suggestion without content: nothing, white space, or stray punctuation."""

from __future__ import annotations

import re

from hef_lsp.postprocess.draft import Draft
from hef_lsp.text_lines import has_word

_CONTENT = frozenset("()[]{}\"'`<>")
"""Marks that close or open something; other punctuation alone is noise."""

_RULE = re.compile(r"\s*([-=~^*#+])\1{2,}\s*")


def drop_blank(draft: Draft) -> Draft | None:
    """None unless there is a word, a bracket, a quote, Python's ``...``, or the rule under a heading."""
    text = draft.text
    says = has_word(text) or "..." in text or not _CONTENT.isdisjoint(text) or _underlines(draft)
    return draft if says else None


def _underlines(draft: Draft) -> bool:
    """Whether it draws a rule of one mark right under a line that says something, as docstrings do."""
    above = draft.prefix.split("\n")[-2:-1]
    under_text = bool(above) and has_word(above[0]) and not draft.line_prefix.strip()
    return under_text and _RULE.fullmatch(draft.text) is not None

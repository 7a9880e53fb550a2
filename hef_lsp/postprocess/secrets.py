"""Drops a suggestion that would write a secret: one that stands in the document, or what looks like one.

The generator is never told a secret of the workspace. This is for those it learned elsewhere or guessed.
"""

from __future__ import annotations

from hef_lsp.postprocess.draft import Draft
from indexer.masking import secret_spans

WINDOW_CHARS = 2_000
"""Before and after: a name, a sign of assignment or the beginning of a key makes a secret of what follows."""


def drop_secrets(draft: Draft) -> Draft | None:
    """None if the text holds a secret or completes one; a secret that only stands beside it does no harm."""
    if any(secret in draft.text for secret in draft.secrets) or secret_spans(draft.text):
        return None
    before, after = draft.prefix[-WINDOW_CHARS:], draft.suffix[:WINDOW_CHARS]
    start, end = len(before), len(before) + len(draft.text)
    spans = secret_spans(before + draft.text + after)
    return None if any(a < end and start < b for a, b in spans) else draft

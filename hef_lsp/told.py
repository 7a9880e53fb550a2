"""What of the open document models and index are told: the text around the cursor, its secrets covered.

Owns the window and the cover's use here. What a secret looks like is `indexer.masking`. The policy, the
suggestion store and the filters work on the document itself; nothing that they read leaves the process.
"""

from __future__ import annotations

from dataclasses import dataclass

from indexer.masking import COVER, covered, secret_spans

PREFIX_CHARS = 140_000
SUFFIX_CHARS = 140_000
"""More than any prompt, query or memory reads on either side; what lies beyond is not told at all."""

LEAST_KNOWN = 6
"""Characters of a secret that is looked for in suggestions."""


@dataclass(frozen=True)
class Told:
    """Prefix and suffix as long as they were, and the secrets that were covered in them."""

    prefix: str
    suffix: str
    secrets: frozenset[str]


def told_of(prefix: str, suffix: str) -> Told:
    """Both halves are searched as one text, so that a cursor within a secret does not hide it."""
    near, after = prefix[-PREFIX_CHARS:], suffix[:SUFFIX_CHARS]
    whole = near + after
    spans = secret_spans(whole)
    if spans:
        secrets = frozenset(whole[start:end] for start, end in spans if end - start >= LEAST_KNOWN)
        hidden = covered(whole, spans)
        near, after = hidden[: len(near)], hidden[len(near) :]
    else:
        secrets = frozenset()
    return Told(COVER * (len(prefix) - len(near)) + near, after, secrets)

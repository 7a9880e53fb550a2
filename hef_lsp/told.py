"""What of the open document models and index are told: the text around the cursor, its secrets covered.

Owns the window, the cover's use here, and the secrets met so far. What a secret looks like is
`indexer.masking`. The policy, the suggestion store and the filters work on the document itself; nothing
that they read leaves the process.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from indexer.masking import COVER, covered, secret_spans

PREFIX_CHARS = 140_000
SUFFIX_CHARS = 140_000
"""More than any prompt, query or memory reads on either side; what lies beyond is not told at all."""

LEAST_KNOWN = 6
"""Characters of a secret that is looked for in suggestions."""
MOST_KNOWN = 1_000
_LINE_END = re.compile(r"\\r|\\n|[\r\n]")


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
        secrets = frozenset(part for start, end in spans for part in _parts(whole[start:end]))
        hidden = covered(whole, spans)
        near, after = hidden[: len(near)], hidden[len(near) :]
    else:
        secrets = frozenset()
    return Told(COVER * (len(prefix) - len(near)) + near, after, secrets)


def _parts(secret: str) -> list[str]:
    """The lines of a key, also where they are escaped; of anything else the whole, without padding."""
    return [part for piece in _LINE_END.split(secret) if len(part := piece.strip("= \t")) >= LEAST_KNOWN]


class KnownSecrets:
    """Those met in open documents, in this process's memory alone; the oldest go first. The lane's own."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def with_those_of(self, secrets: Iterable[str]) -> frozenset[str]:
        """All that are known, `secrets` from now on among them."""
        for secret in secrets:
            self._known[secret] = None
            self._known.move_to_end(secret)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return frozenset(self._known)

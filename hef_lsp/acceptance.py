"""Whether a suggestion was accepted, and whether it lasted: seen from the document's changes alone.

Owns what was offered last for each open document. A change that inserts an offered text at once is its
acceptance; typing it letter by letter is not. No editor has to tell. Event loop only, in memory only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hef_lsp.documents import TextChange
from hef_lsp.statistics import Counts
from hef_lsp.text_lines import unix_lines

SURVIVAL_S = 30.0
SHORTEST = 2
"""Characters; a suggestion of one letter is typed as often as accepted."""
MOST_DOCUMENTS = 64


@dataclass(frozen=True)
class _Accepted:
    uri: str
    text: str
    due_s: float


class Acceptance:
    """Counts until `take`; `due` must be called from time to time."""

    def __init__(
        self, text_of: Callable[[str], str | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._text_of, self._clock = text_of, clock
        self._offered: dict[str, tuple[str, ...]] = {}
        self._accepted: list[_Accepted] = []
        self._counts = Counts()

    def offered(self, uri: str, texts: Sequence[str]) -> None:
        """`texts` were the answer for a document; the same answer again is one offer."""
        if not texts or self._offered.get(uri) == tuple(texts):
            return
        self._offered.pop(uri, None)
        self._offered[uri] = tuple(texts)
        if len(self._offered) > MOST_DOCUMENTS:
            del self._offered[next(iter(self._offered))]
        self._counts = self._counts.plus(Counts(offered=1))

    def changed(self, uri: str, changes: Sequence[TextChange]) -> bool:
        """Whether `changes` accepted what was offered."""
        for change in changes:
            inserted = unix_lines(change.text)
            for text in self._offered.get(uri, ()):
                # Entries of a list bring the word before the cursor along.
                if change.range is not None and len(text) >= SHORTEST and inserted.endswith(text):
                    del self._offered[uri]
                    self._accepted.append(_Accepted(uri, text, self._clock() + SURVIVAL_S))
                    self._counts = self._counts.plus(Counts(accepted=1))
                    return True
        return False

    def closed(self, uri: str) -> None:
        """What was accepted there is judged now: the document will not be seen again."""
        self._offered.pop(uri, None)
        self._judge([each for each in self._accepted if each.uri == uri])

    def due(self) -> None:
        """Looks at what was accepted half a minute ago."""
        now_s = self._clock()
        self._judge([each for each in self._accepted if each.due_s <= now_s])

    def take(self) -> Counts:
        """What was counted since the last call."""
        counts, self._counts = self._counts, Counts()
        return counts

    def _judge(self, these: Sequence[_Accepted]) -> None:
        for each in these:
            self._accepted.remove(each)
            text = self._text_of(each.uri)
            if text is not None and each.text in unix_lines(text):
                self._counts = self._counts.plus(Counts(survived=1))

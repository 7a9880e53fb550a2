r"""The open file's part of the exact memory, from request to request.

Owns its tokens up to the cursor, of which only what was typed since is encoded anew, and the record of how
the memory would have done at the last of them. One document; called in the inference lane only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from indexer.suffix_index import SuffixSnapshot
from indexer.suffix_session import MOST_OWN_TOKENS, SuffixSession
from model.exact_memory import TrackRecord
from model.same_start import n_same_from_start

MOST_CHARS = 60_000
STEP_CHARS = 8_192
"""Of a longer file the beginning is left out in steps, so that most keys find it begins where it did."""
RECORDED = 128
"""Tokens of the track record: what a first request of a file costs, 20 to 50 ms."""
LONG, VERY_LONG = 3, 8
_LAST_LINE_END = re.compile(r"\S\n[^\n]*\Z")

Guess = tuple[int, bool]
"""Length of the match, 0 for none, and whether its best candidate was right."""


class OpenFileMemory:
    """Sessions for one document."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode
        self._settled_text = ""
        self._settled_ids: list[int] = []
        self._ids: list[int] = []
        self._guesses: list[Guess | None] = []

    def session(
        self, snapshot: SuffixSnapshot, path: str, prefix: str, n_recorded: int = RECORDED
    ) -> SuffixSession:
        """The memory for a request at the end of `prefix`, with a record of the last `n_recorded` tokens."""
        ids = self._encoded(_window(prefix))[-MOST_OWN_TOKENS:]
        self._keep_guesses(ids)
        session = SuffixSession(snapshot, path, ids)
        session.record = self._record(session, ids, n_recorded)
        return session

    @property
    def above(self) -> Sequence[int]:
        """The last request's tokens up to the end of the last line above the cursor's that has text."""
        return self._settled_ids

    def _encoded(self, text: str) -> list[int]:
        """In two parts, cut at the end of a line with text, where tokenizers of code cut as well.

        The first part is kept. Where a tokenizer would have joined the two, the words around the cut are
        other tokens than in the workspace, and one match less is found.
        """
        if not text.startswith(self._settled_text):
            self._settled_text, self._settled_ids = "", []
        found = _LAST_LINE_END.search(text)
        cut = found.start() + 1 if found else 0
        if cut > len(self._settled_text):
            self._settled_ids = self._settled_ids + self._encode(text[len(self._settled_text) : cut])
            self._settled_text = text[:cut]
        return self._settled_ids + self._encode(text[len(self._settled_text) :])

    def _keep_guesses(self, ids: list[int]) -> None:
        """Those of the tokens that are the same as at the last request."""
        n_same = n_same_from_start(self._ids, ids)
        self._guesses = self._guesses[:n_same] + [None] * (len(ids) - n_same)
        self._ids = ids

    def _record(self, session: SuffixSession, ids: Sequence[int], n_recorded: int) -> TrackRecord:
        places = range(max(1, len(ids) - n_recorded), len(ids))
        guesses = [self._guess(session, ids, place) for place in places]
        short = [hit for length, hit in guesses if 0 < length < LONG]
        long = [hit for length, hit in guesses if length >= LONG]
        very_long = [hit for length, hit in guesses if length >= VERY_LONG]
        return TrackRecord(
            len(guesses), len(short), sum(short), len(long), sum(long), len(very_long), sum(very_long)
        )

    def _guess(self, session: SuffixSession, ids: Sequence[int], place: int) -> Guess:
        """Kept even where the workspace changed since: it says how the memory did when it was asked."""
        known = self._guesses[place]
        if known is None:
            said = session.guess_at(place)
            known = (0, False) if said is None else (said[0], said[1] == ids[place])
            self._guesses[place] = known
        return known


def _window(prefix: str) -> str:
    surplus = len(prefix) - MOST_CHARS
    return prefix if surplus <= 0 else prefix[-(-surplus // STEP_CHARS) * STEP_CHARS :]

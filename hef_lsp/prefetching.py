r"""Looking ahead: what will be asked for is worked out before, while nobody waits for an answer.

That is the next line while a suggestion is being read, in case it is accepted, and the place to which the
cursor was moved (`hef_lsp.cursor_rest`). Owns that looking ahead is in nobody's way: it begins after a pause,
at most one runs, and it stops when a request needs the lane, unless that asks for this very place.
What it finds is in the suggestion store. Event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from hef_lsp.ahead import Ahead
from hef_lsp.following import following_request
from hef_lsp.request import CompletionRequest
from hef_lsp.scheduling import CancellationToken, InferenceLane, LaneClosed, LanePriority, in_loop

if TYPE_CHECKING:
    from hef_lsp.engine import CompletionEngine, Suggestion

PAUSE_S = 0.15
"""From an answer to the look ahead: who types on does so sooner."""

Then = Callable[[Ahead], None]
"""Told of what was worked out or was known, unless something else came first."""
Texts = tuple[str, str, str]
"""A place: a document's URI and what stands before and after the cursor."""


@dataclass
class _Work:
    wanted: Callable[[], CompletionRequest | None]
    then: Then | None = None
    accepted: Texts | None = None
    request: CompletionRequest | None = None
    token: CancellationToken = field(default_factory=CancellationToken)
    timer: asyncio.TimerHandle | None = None


class Prefetching:
    """At most one look ahead waits or runs."""

    def __init__(self, lane: InferenceLane, engine: Callable[[], CompletionEngine | None]) -> None:
        self._lane, self._engine = lane, engine
        self._work: _Work | None = None

    def after(self, request: CompletionRequest, suggestions: Sequence[Suggestion]) -> None:
        """`suggestions` were the answer to `request`; the first is taken for what will be accepted.

        Its line is looked for after the pause, not before the answer is written: that reads the document.
        """
        if not _inserts(request, suggestions):
            return
        text = suggestions[0].text
        accepted = (request.document.uri, request.prefix + text, request.suffix)
        if self._work is None or self._work.accepted != accepted:
            self._begin_after(PAUSE_S, _Work(partial(following_request, request, text), accepted=accepted))

    def make_way(self, request: CompletionRequest) -> None:
        """`request` needs the lane. A look ahead to its own place goes on, for the store answers then."""
        work = self._work
        if work is not None and (work.request is None or _texts_of(work.request) != _texts_of(request)):
            self.stop()

    def begin_after(self, pause_s: float, request: CompletionRequest, then: Then | None = None) -> None:
        """Works out `request` after a pause, in place of all else."""
        self._begin_after(pause_s, _Work(lambda: request, then))

    def _begin_after(self, pause_s: float, work: _Work) -> None:
        self.stop()
        self._work = work
        work.timer = asyncio.get_running_loop().call_later(pause_s, self._begin, work)

    def stop(self) -> None:
        work, self._work = self._work, None
        if work is not None and work.timer is not None:
            work.timer.cancel()
            work.token.cancel()

    def _begin(self, work: _Work) -> None:
        engine, request = self._engine(), work.wanted()
        work.request = request
        if engine is None or request is None:
            return
        known = None if request.anew else engine.lookup(request)
        if known is not None:
            self._ended(work, Ahead(known))
            return
        loop = asyncio.get_running_loop()
        with suppress(LaneClosed):
            ahead = self._lane.submit(LanePriority.AHEAD, partial(engine.prefetch, request, work.token))
            ahead.add_done_callback(partial(in_loop, loop, partial(self._ended, work), Ahead()))

    def _ended(self, work: _Work, ahead: Ahead) -> None:
        if work is self._work and work.then is not None:
            work.then(ahead)


def _inserts(request: CompletionRequest, suggestions: Sequence[Suggestion]) -> bool:
    """Whether the first suggestion is an insertion at the cursor."""
    at_cursor = (request.offset, request.offset)
    is_plain = request.selected is None and bool(suggestions)
    return is_plain and (suggestions[0].start, suggestions[0].end) == at_cursor


def _texts_of(request: CompletionRequest) -> Texts:
    return request.document.uri, request.prefix, request.suffix

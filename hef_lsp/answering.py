"""The way of one completion request through the event loop: store, gate, delay, lane, and back.

Owns the running tokens of the documents. Invariants: each request is answered once; at most one request
of a kind runs for a document, the older is answered empty the moment a newer comes; a change of the
document cancels all that runs for it. Event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hef_lsp.cursor_rest import CursorRest
from hef_lsp.documents import DocumentSnapshot
from hef_lsp.prefetching import Prefetching
from hef_lsp.request import CompletionRequest, should_complete
from hef_lsp.scheduling import CancellationToken, InferenceLane, LaneClosed, LanePriority, LatestWins
from hef_lsp.settings import Settings
from hef_lsp.text_lines import unix_lines

if TYPE_CHECKING:
    from hef_lsp.engine import CompletionEngine, Suggestion

log = logging.getLogger(__name__)

STOPS_REMEMBERED = 256
MOST_RUNNING = 16
"""Requests under way over all documents; beyond, the oldest is answered empty. People type in one."""

Key = tuple[str, str]
"""A document's URI and the kind of request; editors ask for the list and for ghost text side by side."""


@dataclass(frozen=True)
class Answer:
    """Suggestions for `offset` of `document`, which is the version that the client has now."""

    document: DocumentSnapshot
    offset: int
    suggestions: list[Suggestion]


class Answering:
    """Takes requests as they are read; `answer` is the coroutine that waits for the engine."""

    def __init__(
        self,
        lane: InferenceLane,
        engine: Callable[[], CompletionEngine | None],
        settings: Callable[[], Settings],
        document: Callable[[str], DocumentSnapshot | None],
        answered: Callable[[CompletionRequest], None] = lambda _request: None,
    ) -> None:
        """`answered` is told of each request whose answer is there."""
        self._lane, self._engine = lane, engine
        self._settings, self._document = settings, document
        self._tokens: dict[Key, CancellationToken] = {}
        self._delay = LatestWins()
        self._prefetching = Prefetching(lane, engine)
        self._cursor = CursorRest(self._prefetching, engine)
        self._answered = answered
        self._stops_ms: deque[float] = deque(maxlen=STOPS_REMEMBERED)

    @property
    def stops_ms(self) -> tuple[float, ...]:
        """How long the last jobs that were cancelled while they ran went on, in milliseconds."""
        return tuple(self._stops_ms)

    def begin(self, request: CompletionRequest, kind: str) -> tuple[Key, CancellationToken]:
        """Makes this the request that runs; call it in the handler's synchronous part."""
        key = (request.document.uri, kind)
        older = self._tokens.get(key)
        if older is not None:
            older.cancel()
        while len(self._tokens) >= MOST_RUNNING:
            self._tokens.pop(next(iter(self._tokens))).cancel()
        self._tokens.pop(key, None)
        self._tokens[key] = CancellationToken()  # the newest stands last
        return key, self._tokens[key]

    async def answer(self, request: CompletionRequest, key: Key, token: CancellationToken) -> Answer:
        """Never raises but `asyncio.CancelledError`, and then the lane stops as well."""
        try:
            suggestions = await self._suggestions(request, key, token)
            if suggestions and self._settings().completion.prefetch:
                self._prefetching.after(request, suggestions)
            self._answered(request)
        except asyncio.CancelledError:
            token.cancel()
            raise
        finally:
            if self._tokens.get(key) is token:
                del self._tokens[key]
        return self._as_of_now(request, suggestions)

    def cursor_moved(self, request: CompletionRequest) -> None:
        """Works out what will be asked at that cursor, unless somebody waits for an answer now."""
        completion = self._settings().completion
        if completion.enabled and completion.prefetch and not self._tokens:
            self._cursor.moved_to(request)

    def cancel(self, uri: str) -> None:
        """Stops what runs for a document; those who asked are answered empty."""
        for key in [key for key in self._tokens if key[0] == uri]:
            self._tokens.pop(key).cancel()

    def cancel_all(self) -> None:
        for token in self._tokens.values():
            token.cancel()
        self._tokens.clear()
        self._prefetching.stop()

    async def _suggestions(
        self, request: CompletionRequest, key: Key, token: CancellationToken
    ) -> list[Suggestion]:
        engine, completion = self._engine(), self._settings().completion
        if engine is None or not completion.enabled or token.cancelled:
            return []
        stored = engine.lookup(request)
        if stored is not None:
            return stored
        reason = should_complete(request, completion.enabled)
        if reason is not None:
            log.debug("no completion: %s", reason)
            return []
        delay_s = 0.0 if request.invoked else completion.debounce_ms / 1000
        if not await self._delay.admit(key, delay_s, token):
            return []
        self._prefetching.make_way(request)
        return await self._in_the_lane(partial(self._completed, engine, request, token), token)

    def _completed(
        self, engine: CompletionEngine, request: CompletionRequest, token: CancellationToken
    ) -> list[Suggestion]:
        """In the lane; notes how long a cancel took to be heard."""
        suggestions = engine.complete(request, token)
        if token.cancelled:
            self._stops_ms.append((time.monotonic() - token.cancelled_s) * 1000)
        return suggestions

    async def _in_the_lane(
        self, job: Callable[[], list[Suggestion]], token: CancellationToken
    ) -> list[Suggestion]:
        """The job's result, or nothing at once when the token is cancelled before there is one."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[list[Suggestion]] = loop.create_future()
        try:
            running = self._lane.submit(LanePriority.KEYSTROKE, job)
        except LaneClosed:
            return []
        running.add_done_callback(lambda done: _from_lane(loop, outcome, done))
        take_back = token.on_cancel(partial(_give_up_soon, loop, outcome, running))
        try:
            return await outcome
        finally:
            take_back()
            running.cancel()

    def _as_of_now(self, request: CompletionRequest, suggestions: list[Suggestion]) -> Answer:
        """Where the document moved on, what was typed meanwhile is taken off, or the answer is void."""
        asked, now = request.document, self._document(request.document.uri)
        if now is None or now.version == asked.version:
            return Answer(asked, request.offset, suggestions if now is not None else [])
        typed = typed_since(asked, now, request.offset)
        if typed is None:
            return Answer(now, min(request.offset, len(now.text)), [])
        offset = request.offset + len(typed)
        left = (without_typed(item, request.offset, typed) for item in suggestions)
        return Answer(now, offset, [item for item in left if item is not None])


def typed_since(asked: DocumentSnapshot, now: DocumentSnapshot, offset: int) -> str | None:
    """What was inserted at `offset` since `asked`; None if anything else changed."""
    n_typed = len(now.text) - len(asked.text)
    if n_typed < 0:
        return None
    typed = now.text[offset : offset + n_typed]
    unchanged = asked.text[:offset] + typed + asked.text[offset:] == now.text
    return typed if unchanged else None


def without_typed(suggestion: Suggestion, offset: int, typed: str) -> Suggestion | None:
    r"""The rest of a plain insertion at `offset` after `typed`; None if there is none.

    Suggestions end lines in ``\n``, whatever the document does.
    """
    begun = unix_lines(typed)
    if suggestion.start != offset or suggestion.end != offset:
        return None
    if not suggestion.text.startswith(begun) or len(suggestion.text) == len(begun):
        return None
    place = offset + len(typed)
    return replace(suggestion, text=suggestion.text[len(begun) :], start=place, end=place)


def _from_lane(
    loop: asyncio.AbstractEventLoop,
    outcome: asyncio.Future[list[Suggestion]],
    done: Future[list[Suggestion]],
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(_deliver, outcome, done)


def _deliver(outcome: asyncio.Future[list[Suggestion]], done: Future[list[Suggestion]]) -> None:
    if outcome.done():
        return
    if done.cancelled():
        outcome.set_result([])
    elif (error := done.exception()) is not None:
        log.error("a completion failed", exc_info=error)
        outcome.set_result([])
    else:
        outcome.set_result(done.result())


def _give_up_soon(
    loop: asyncio.AbstractEventLoop,
    outcome: asyncio.Future[list[Suggestion]],
    running: Future[list[Suggestion]],
) -> None:
    loop.call_soon_threadsafe(_give_up, outcome, running)


def _give_up(outcome: asyncio.Future[list[Suggestion]], running: Future[list[Suggestion]]) -> None:
    """A result that is ready is still delivered: what was typed meanwhile is taken off it."""
    if not outcome.done() and not running.done():
        outcome.set_result([])

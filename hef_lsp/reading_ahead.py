"""Reading open documents while nobody asks, so that an answer need not wait for it.

Owns which document is next, and that reading is in nobody's way: it begins after a pause, one piece is read
at a time, and a request that needs the lane stops it between two layers. What was read is the generator's.
Event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from hef_lsp.request import CompletionRequest, should_complete
from hef_lsp.scheduling import CancellationToken, InferenceLane, LaneClosed, LanePriority, in_loop

if TYPE_CHECKING:
    from hef_lsp.engine import CompletionEngine

PAUSE_S = 0.4
"""From the last change or request to the first piece."""


@dataclass(frozen=True)
class _Signal:
    """Somebody waits for an answer, or the text is another one now."""

    lane: InferenceLane
    token: CancellationToken = field(default_factory=CancellationToken)

    @property
    def cancelled(self) -> bool:
        return self.token.cancelled or self.lane.keystroke_waiting()


class ReadingAhead:
    """Of the document that was touched last; at most one piece waits or is read."""

    def __init__(self, lane: InferenceLane, engine: Callable[[], CompletionEngine | None]) -> None:
        self._lane, self._engine = lane, engine
        self._wanted: CompletionRequest | None = None
        self._signal: _Signal | None = None
        self._timer: asyncio.TimerHandle | None = None

    def touched(self, request: CompletionRequest) -> None:
        """The document as it is now; its cursor is where something was changed or asked for."""
        self._drop()
        self._wanted = replace(request, invoked=True)  # read is what could be completed on demand
        self.go_on()

    def closed(self, uri: str) -> None:
        """Nothing more of a document is read."""
        if self._wanted is not None and self._wanted.document.uri == uri:
            self._drop()

    def go_on(self) -> None:
        """After a pause; also for when there is an engine at last."""
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._begin)

    def stop(self) -> None:
        self._stop_timer()
        self._drop()

    def _drop(self) -> None:
        self._wanted = None
        if self._signal is not None:
            self._signal.token.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        engine, request = self._engine(), self._wanted
        if engine is None or self._signal is not None or request is None:
            return
        if should_complete(request) is not None:
            self._wanted = None
            return
        signal, loop = _Signal(self._lane), asyncio.get_running_loop()
        with suppress(LaneClosed):
            piece = self._lane.submit(LanePriority.AHEAD, partial(engine.read_on, request, signal))
            self._signal = signal
            piece.add_done_callback(partial(in_loop, loop, partial(self._ended, request), False))

    def _ended(self, request: CompletionRequest, is_more: bool) -> None:
        signal, self._signal = self._signal, None
        if not is_more and self._wanted is request:
            self._wanted = None
        if signal is not None and signal.cancelled:
            self.go_on()
        else:
            self._begin()

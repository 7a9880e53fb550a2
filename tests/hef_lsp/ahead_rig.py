"""What the tests of looking ahead share: an engine that only notes what it was asked, and a lane."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from engine_rig import request_at

from hef_lsp.ahead import Ahead
from hef_lsp.cursor_rest import CursorRest
from hef_lsp.engine import Suggestion
from hef_lsp.prefetching import Prefetching
from hef_lsp.request import CompletionRequest
from hef_lsp.scheduling import InferenceLane, LanePriority
from model.protocols import CancelSignal


class Engine:
    """Notes what it was asked to work out ahead; goes on until it is cancelled where it is told to.

    It says `says` everywhere, and lacks memories in its first `n_lacking` answers.
    """

    def __init__(self) -> None:
        self.asked: list[CompletionRequest] = []
        self.known: list[str] = []
        self.says = ""
        self.n_lacking = 0
        self.is_slow = False
        self.begun, self.ended = threading.Event(), threading.Event()

    def lookup(self, request: CompletionRequest) -> list[Suggestion] | None:
        return [] if request.prefix in self.known else None

    def prefetch(self, request: CompletionRequest, cancel: CancelSignal) -> Ahead:
        self.asked.append(request)
        self.begun.set()
        while self.is_slow and not cancel.cancelled:
            pass
        self.ended.set()
        self.n_lacking -= 1
        suggestions = [Suggestion(self.says, request.offset, request.offset)] if self.says else []
        return Ahead(suggestions, lacks_memories=self.n_lacking >= 0)


class Desk:
    def __init__(self) -> None:
        self.engine, self.lane = Engine(), InferenceLane()
        self.ahead = Prefetching(self.lane, lambda: self.engine)  # type: ignore[arg-type, return-value]
        self.cursor = CursorRest(self.ahead, lambda: self.engine)  # type: ignore[arg-type, return-value]

    def offer(self, marked: str, text: str) -> None:
        request = request_at(marked)
        self.ahead.after(request, [Suggestion(text, request.offset, request.offset)])

    async def settled(self) -> list[str]:
        """The prefixes that were worked on."""
        n_asked = -1
        while len(self.engine.asked) > n_asked:
            n_asked = len(self.engine.asked)
            await asyncio.sleep(0.05)
            await asyncio.to_thread(self.lane.run, LanePriority.INDEX, lambda: None)
        return [request.prefix for request in self.engine.asked]


@contextmanager
def desk_of_its_own() -> Iterator[Desk]:
    made = Desk()
    try:
        yield made
    finally:
        made.ahead.stop()
        made.lane.close()

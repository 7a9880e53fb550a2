r"""Looking ahead: what will be asked for is worked out before, while nobody waits for an answer.

That is the next line while a suggestion is being read, in case it is accepted, and the place to which the
cursor was moved. Owns which place comes next, and that looking ahead is in nobody's way: it begins after a
pause, at most one runs, and it stops when a request needs the lane, unless that asks for this very place.
What it finds is in the suggestion store. Event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from hef_lsp.documents import DocumentSnapshot
from hef_lsp.postprocess.indentation import indentation_step
from hef_lsp.request import CompletionRequest, should_complete
from hef_lsp.scheduling import CancellationToken, InferenceLane, LaneClosed, LanePriority
from hef_lsp.text_lines import indent_of, last_line, opens_block, unix_lines

if TYPE_CHECKING:
    from hef_lsp.engine import CompletionEngine, Suggestion

PAUSE_S = 0.15
"""From an answer to the look ahead: who types on does so sooner."""
REST_S = 0.3
"""From a move of the cursor to the work at its place: who only passes by moves on sooner."""


@dataclass
class _Work:
    request: CompletionRequest
    token: CancellationToken = field(default_factory=CancellationToken)
    timer: asyncio.TimerHandle | None = None
    has_begun: bool = False


class Prefetching:
    """At most one look ahead waits or runs."""

    def __init__(self, lane: InferenceLane, engine: Callable[[], CompletionEngine | None]) -> None:
        self._lane, self._engine = lane, engine
        self._work: _Work | None = None

    def after(self, request: CompletionRequest, suggestions: Sequence[Suggestion]) -> None:
        """`suggestions` were the answer to `request`; the first is taken for what will be accepted."""
        following = following_request(request, suggestions[0]) if suggestions else None
        if following is None or (self._work is not None and _same_place(self._work.request, following)):
            return
        self._begin_after(PAUSE_S, following)

    def moved_to(self, request: CompletionRequest) -> None:
        """The cursor stands there now. Where code follows it, the line's end is what one goes on from.

        What is known to be said there leaves the look ahead that goes on.
        """
        engine, resting = self._engine(), replace(request, at_rest=True)
        if should_complete(resting) is not None:
            resting = replace(resting, offset=request.offset + len(request.line_suffix))
        if engine is not None and should_complete(resting) is None and engine.lookup(resting) is None:
            self._begin_after(REST_S, resting)

    def make_way(self, request: CompletionRequest) -> None:
        """`request` needs the lane. A look ahead to its own place goes on, for the store answers then."""
        work = self._work
        if work is not None and not (work.has_begun and _same_place(work.request, request)):
            self.stop()

    def _begin_after(self, pause_s: float, request: CompletionRequest) -> None:
        self.stop()
        work = self._work = _Work(request)
        work.timer = asyncio.get_running_loop().call_later(pause_s, self._begin, work)

    def stop(self) -> None:
        work, self._work = self._work, None
        if work is not None and work.timer is not None:
            work.timer.cancel()
            work.token.cancel()

    def _begin(self, work: _Work) -> None:
        engine = self._engine()
        work.has_begun = True
        if engine is None or engine.lookup(work.request) is not None:
            return
        with suppress(LaneClosed):
            self._lane.submit(LanePriority.AHEAD, partial(engine.prefetch, work.request, work.token))


def _same_place(one: CompletionRequest, other: CompletionRequest) -> bool:
    return (
        one.document.uri == other.document.uri
        and len(one.prefix) == len(other.prefix)
        and one.prefix == other.prefix
        and one.suffix == other.suffix
    )


def following_request(request: CompletionRequest, suggestion: Suggestion) -> CompletionRequest | None:
    """What an editor asks after `suggestion` was accepted and the line ended; None where no line follows.

    The new line is indented as editors do it: like the last one, a step deeper where that opens a block.
    """
    offset, document = request.offset, request.document
    if request.selected is not None or (suggestion.start, suggestion.end) != (offset, offset):
        return None
    if request.line_suffix.strip():
        return None
    accepted = request.prefix + unix_lines(suggestion.text)
    line = last_line(accepted)
    if not line.strip():
        return None
    indent = indent_of(line)
    if opens_block(line, request.language):
        indent += indentation_step(accepted, request.suffix)
    inserted = f"{suggestion.text}\n{indent}"
    text = document.text[:offset] + inserted + document.text[offset:]
    following = replace(
        request,
        document=DocumentSnapshot.of(document.uri, document.version, document.language_id, text),
        offset=offset + len(inserted),
        invoked=False,
        n_alternatives=1,
        after_deletion=False,
        received_s=None,
        ahead=True,
    )
    return following if should_complete(following) is None else None

"""What is worked out where the cursor rests: an answer there, one for the line that Enter would begin, and
both anew once the memories that they lacked are made.

Owns that order. That it is in nobody's way is `hef_lsp.prefetching`'s. Event loop only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hef_lsp.following import following_request
from hef_lsp.prefetching import Prefetching
from hef_lsp.request import CompletionRequest, should_complete

if TYPE_CHECKING:
    from hef_lsp.ahead import Ahead
    from hef_lsp.engine import CompletionEngine

REST_S = 0.3
"""From a move of the cursor to the work at its place: who only passes by moves on sooner."""
LOOK_S = 0.5
"""Between two looks whether memories were made."""
MOST_LOOKS = 16


class CursorRest:
    """Of the cursor that moved last."""

    def __init__(self, prefetching: Prefetching, engine: Callable[[], CompletionEngine | None]) -> None:
        self._prefetching, self._engine = prefetching, engine

    def moved_to(self, request: CompletionRequest) -> None:
        """The cursor stands there now. Where code follows it, the line's end is what one goes on from.

        What is known to be said there leaves the look ahead that goes on.
        """
        engine, place = self._engine(), _resting(request)
        if engine is not None and place is not None and engine.lookup(place) is None:
            self._prefetching.begin_after(REST_S, place, partial(self._answered, place, MOST_LOOKS))

    def _answered(self, place: CompletionRequest, n_looks: int, ahead: Ahead) -> None:
        """What is said at `place` is known, but where that is still waited for."""
        line = None if place.anew and ahead.lacks_memories else _next_line(place, ahead)
        if line is None:
            self._look_again(place, n_looks, ahead)
        else:
            self._prefetching.begin_after(0.0, line, lambda _: self._look_again(place, n_looks, ahead))

    def _look_again(self, place: CompletionRequest, n_looks: int, ahead: Ahead) -> None:
        if ahead.lacks_memories and n_looks:
            anew = replace(place, anew=True)
            self._prefetching.begin_after(LOOK_S, anew, partial(self._answered, anew, n_looks - 1))


def _resting(request: CompletionRequest) -> CompletionRequest | None:
    """What would be asked where the cursor stands, or at its line's end; None where nothing would be."""
    resting = replace(request, at_rest=True)
    if should_complete(resting) is not None:
        resting = replace(resting, offset=request.offset + len(request.line_suffix))
    return resting if should_complete(resting) is None else None


def _next_line(place: CompletionRequest, ahead: Ahead) -> CompletionRequest | None:
    """The line that Enter would begin; None where the answer, which begins one, is that line's, too."""
    begins_line = bool(ahead.suggestions) and ahead.suggestions[0].text.startswith("\n")
    return None if begins_line else following_request(place, "")

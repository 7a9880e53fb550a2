"""Where memories are made on demand: wishes for those that other places of an open document would be told.

Owns which places those are and which were asked about; the search is `hef_lsp.context`'s. Without it the
first answer after a jump would be told nothing. In the inference lane only, but for `forget`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hef_lsp.context import ContextBuilder, Models, on_demand
from hef_lsp.remembering import Remembering
from hef_lsp.request import CompletionRequest
from hef_lsp.settings import ContextSettings

if TYPE_CHECKING:
    from indexer.index import IndexView

LINES_A_PLACE = 20
"""A search looks at so many lines around the cursor."""
MOST_PLACES = 60
"""Of a document, those nearest to the cursor."""
GROWN = 1.5
"""An index with so many times the files may know better."""


@dataclass
class _Asked:
    """Places by number, when so many files were known."""

    n_files: int
    numbers: set[int] = field(default_factory=set)


class WishingAhead:
    """A place is asked about once until its document is closed, and again where the index had read less then:
    an edit is asked about by whoever made it."""

    def __init__(self, models: Models, contexts: ContextBuilder, remembering: Remembering) -> None:
        self._models, self._contexts, self._remembering = models, contexts, remembering
        self._asked: dict[str, _Asked] = {}

    def wish_on(self, request: CompletionRequest, view: IndexView | None, settings: ContextSettings) -> bool:
        """Has memories made of what one more place would be told; False after the last one."""
        if view is None or not on_demand(settings, self._models):
            return False
        place = self._next(request, len(view.files))
        if place is not None:
            remembered = self._remembering.glance(place, view.memory) if settings.memory else None
            self._contexts.wish(place, view, settings, remembered)
        return place is not None

    def forget(self, uri: str) -> None:
        """Of a closed document. Any thread."""
        self._asked.pop(uri, None)

    def _next(self, request: CompletionRequest, n_files: int) -> CompletionRequest | None:
        """What would be asked at the nearest place that was not asked about."""
        document = request.document
        asked = self._asked.get(document.uri)
        if asked is None or n_files > GROWN * asked.n_files:
            asked = self._asked[document.uri] = _Asked(n_files)
        last = (document.n_lines - 1) // LINES_A_PLACE
        numbers = (one for one in _outwards(request.line // LINES_A_PLACE, last) if one not in asked.numbers)
        number = next(numbers, None)
        if number is None or len(asked.numbers) >= MOST_PLACES:
            return None
        asked.numbers.add(number)
        line = min(number * LINES_A_PLACE + LINES_A_PLACE // 2, document.n_lines - 1)
        return replace(request, offset=document.line_start(line), selected=None, invoked=True, ahead=True)


def _outwards(first: int, last: int) -> Iterator[int]:
    """`first`, then its neighbours, all of ``[0, last]``."""
    yield first
    for distance in range(1, last + 1):
        yield from (one for one in (first + distance, first - distance) if 0 <= one <= last)

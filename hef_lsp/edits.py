"""How each open document was last edited, as far as the completion policy asks. Event loop only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hef_lsp.documents import TextChange

TYPING_S = 1.0
"""An editor that asks for its list this soon after a key asks by itself; the protocol calls both invoked."""


@dataclass(frozen=True)
class _Edit:
    at_s: float
    only_deleted: bool


class Edits:
    """The last edit of each document, none for one that was only opened."""

    def __init__(self) -> None:
        self._last: dict[str, _Edit] = {}

    def opened(self, uri: str) -> None:
        self._last.pop(uri, None)

    def changed(self, uri: str, changes: Sequence[TextChange]) -> None:
        only_deleted = bool(changes) and all(change.range and not change.text for change in changes)
        self._last[uri] = _Edit(time.monotonic(), only_deleted)

    def closed(self, uri: str) -> None:
        self._last.pop(uri, None)

    def only_deleted(self, uri: str) -> bool:
        """Whether the last change took text away and put none in its place."""
        return uri in self._last and self._last[uri].only_deleted

    def is_typing(self, uri: str) -> bool:
        """Whether the document was edited within `TYPING_S`."""
        return uri in self._last and time.monotonic() - self._last[uri].at_s < TYPING_S

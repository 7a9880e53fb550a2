"""What went wrong in the steps of background work, until it is put right; each cause logged once.

Owns messages only; what is tried again, and when, is `hef_lsp.index_agenda`. Written by one thread,
read by any.
"""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class StepFailures:
    """The present problem of each step."""

    def __init__(self) -> None:
        self._messages: dict[str, str] = {}
        self._logged: set[tuple[str, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._messages)

    @property
    def message(self) -> str:
        """What went wrong first and was not put right since; empty when nothing did."""
        return next(iter(tuple(self._messages.values())), "")

    def note(self, step: str, error: Exception) -> None:
        message = str(error) or type(error).__name__
        self._messages[step] = message
        cause = (step, f"{type(error).__name__}: {message}")
        if cause not in self._logged:
            self._logged.add(cause)
            log.error("the index failed while %s: %s; the next change tries again", *cause)
            log.debug("where it failed", exc_info=error)

    def clear_all(self) -> None:
        """The index was opened anew: whatever failed before is tried again."""
        self._messages.clear()

    def clear(self, step: str) -> None:
        self._messages.pop(step, None)

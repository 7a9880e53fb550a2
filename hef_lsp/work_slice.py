"""One slice of background work: when it should end, read by the worker between its batches.

Satisfies `model.protocols.CancelSignal`. Belongs to one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class WorkSlice:
    """`interrupted(by_changes)` says whether something more urgent waits; changes are urgent only
    once the slice is `least_s` old and, where that is not 0, got on at all. After `most_s` it ends
    in any case, so that what was done is counted and shown."""

    def __init__(
        self,
        interrupted: Callable[[bool], bool],
        show_progress: Callable[[int, int], None] = lambda done, total: None,
        least_s: float = 0.0,
        most_s: float = math.inf,
    ) -> None:
        self._interrupted, self._show_progress = interrupted, show_progress
        self._least_s, self._most_s = least_s, most_s
        self._began_s = time.monotonic()
        self._got_on = least_s == 0
        self.fired = False

    @property
    def cancelled(self) -> bool:
        if not self.fired:
            age_s = time.monotonic() - self._began_s
            by_changes = self._got_on and age_s >= self._least_s
            self.fired = age_s >= self._most_s or self._interrupted(by_changes)
        return self.fired

    def note_progress(self, done: int, total: int) -> None:
        """`done` counts from 0 in each slice."""
        self._got_on |= done > 0
        self._show_progress(done, total)

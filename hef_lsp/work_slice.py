"""One slice of background work: when it should end, read by the worker between its batches.

Satisfies `model.protocols.CancelSignal`. Belongs to one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class WorkSlice:
    """`interrupted(by_changes)` says whether something more urgent waits; changes are urgent only
    once the slice is `least_s` old and, where that is not 0, got on at all."""

    def __init__(
        self,
        interrupted: Callable[[bool], bool],
        show_progress: Callable[[int, int], None],
        least_s: float = 0.0,
    ) -> None:
        self._interrupted, self._show_progress = interrupted, show_progress
        self._least_s = least_s
        self._began_s = time.monotonic()
        self._first_done: int | None = None
        self._got_on = least_s == 0
        self.fired = False

    @property
    def cancelled(self) -> bool:
        if not self.fired:
            old_enough = time.monotonic() - self._began_s >= self._least_s
            self.fired = self._interrupted(self._got_on and old_enough)
        return self.fired

    def note_progress(self, done: int, total: int) -> None:
        self._first_done = done if self._first_done is None else self._first_done
        self._got_on |= done > self._first_done
        self._show_progress(done, total)

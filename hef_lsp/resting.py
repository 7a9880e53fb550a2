"""When a model that nobody uses is put away, so that an editor left open does not hold its memory.

Owns the instant of the last use and the timer. What is put away is the session's. Event loop only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LOOK_EVERY_S = 30.0


class Resting:
    """`idle_minutes` is asked each time; 0 means never."""

    def __init__(self, idle_minutes: Callable[[], int], put_away: Callable[[], None]) -> None:
        self._idle_minutes, self._put_away = idle_minutes, put_away
        self._used_s = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def used(self) -> None:
        """Somebody waits for a suggestion."""
        self._used_s = time.monotonic()

    def start(self) -> None:
        """Looks from now on, until `close`."""
        self.close()
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        idle_s = 60 * self._idle_minutes()
        if idle_s and time.monotonic() - self._used_s >= idle_s:
            self._put_away()
        self.start()

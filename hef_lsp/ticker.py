"""A call made again and again in a thread of its own, until it says that it is done or is stopped.

Owns the thread. What is looked at each time is the caller's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Ticker:
    """`look` returns whether to go on. Any thread may call any method."""

    def __init__(self, look: Callable[[], bool], every_s: float, name: str) -> None:
        self._look, self._every_s, self._name = look, every_s, name
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Again is fine; after `stop` nothing."""
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends after the call under way; again is fine."""
        self._ended.set()
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        goes_on = True
        while goes_on and not self._ended.wait(self._every_s):
            try:
                goes_on = self._look()
            except Exception:
                log.exception("%s failed; it is tried again", self._name)

"""Who works next, and who need not: cancellation, the inference lane, and the latest-wins delay.

Owns one worker thread a lane. Knows nothing of completions or models. Each class names the threads
that may call it.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
MOST_QUEUED = 64
"""Jobs in the lane's queue; more, and those that were cancelled are dropped before their turn."""
_Callback = Callable[[], None]

QUIET_BEFORE_S = 0.075
"""Of the time before a request, what counts as quiet already: with the usual debounce only keys that follow
each other faster wait at all."""
KEYS_REMEMBERED = 64

LONGEST_YIELD_S = 5.0
YIELD_POLL_S = 0.005


class CancellationToken:
    """Once cancelled, it stays so. Any thread; each callback runs once, in the thread that cancels."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._cancelled_s = math.nan
        self._callbacks: dict[object, _Callback] = {}

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    @property
    def cancelled_s(self) -> float:
        """The `time.monotonic` instant of the first cancel; not a number before."""
        return self._cancelled_s

    def cancel(self) -> None:
        with self._lock:
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
            if not self._cancelled:
                self._cancelled_s = time.monotonic()
            self._cancelled = True
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("a cancellation callback failed; the others are still called")

    def on_cancel(self, callback: _Callback) -> _Callback:
        """Calls `callback` on cancel, at once if that was before; returns what takes it back."""
        key = object()
        with self._lock:
            if not self._cancelled:
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        callback()
        return lambda: None

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)


class LanePriority(IntEnum):
    """What goes first in the lane."""

    KEYSTROKE = 0
    AHEAD = 1
    """What may be asked next."""
    INDEX = 2


class LaneClosed(RuntimeError):
    """The lane takes no more work: the server is shutting down."""


@dataclass(frozen=True)
class LaneStats:
    """Jobs begun of one priority, and how long they stood in the queue, in seconds."""

    n_jobs: int = 0
    total_wait_s: float = 0.0
    longest_wait_s: float = 0.0

    def plus(self, wait_s: float) -> LaneStats:
        return LaneStats(self.n_jobs + 1, self.total_wait_s + wait_s, max(self.longest_wait_s, wait_s))


@dataclass(order=True)
class _Job:
    priority: LanePriority
    number: int
    work: Callable[[], Any] = field(compare=False)
    future: Future[Any] = field(compare=False)
    submitted_s: float = field(compare=False)


class InferenceLane:
    """One worker thread through which every model call goes, so that models need no locks.

    Invariant: at most one job runs; the next is the oldest of the most urgent. A running job is not
    interrupted: jobs are short or read a cancel signal. Any thread may call any method.
    """

    def __init__(self, name: str = "hef-inference") -> None:
        self._wake = threading.Condition()
        self._queue: list[_Job] = []
        self._n_submitted = 0
        self._running: LanePriority | None = None
        self._wait_s = 0.0
        self._last_keystroke_s = -math.inf
        self._stats = dict.fromkeys(LanePriority, LaneStats())
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, priority: LanePriority, job: Callable[[], T]) -> Future[T]:
        """The future of `job`; cancelling it before the job began means it never runs.

        Raises `LaneClosed` after `close`.
        """
        future: Future[T] = Future()
        with self._wake:
            if self._closed:
                raise LaneClosed("the inference lane is closed: the server is shutting down")
            self._n_submitted += 1
            self._note_keystroke(priority)
            if len(self._queue) >= MOST_QUEUED:  # what was withdrawn holds its document's text
                self._queue = [job for job in self._queue if not job.future.cancelled()]
                heapq.heapify(self._queue)
            heapq.heappush(self._queue, _Job(priority, self._n_submitted, job, future, time.monotonic()))
            self._wake.notify()
        return future

    def run(self, priority: LanePriority, job: Callable[[], T]) -> T:
        """Runs `job` in the lane and waits for it; inside a job of the lane it runs at once.

        Raises what `job` raises, `LaneClosed`, or `concurrent.futures.CancelledError` if the lane
        closes before the job's turn.
        """
        if threading.current_thread() is self._thread:
            return job()
        return self.submit(priority, job).result()

    def give_way(self, unless: Callable[[], bool]) -> None:
        """Waits while a keystroke is served: both want the interpreter, and a person waits for one."""
        end_s = time.monotonic() + LONGEST_YIELD_S
        while self.keystroke_waiting() and time.monotonic() < end_s and not unless():
            time.sleep(YIELD_POLL_S)

    def keystroke_waiting(self) -> bool:
        """Whether a keystroke's job runs or stands in the queue: others should give way."""
        with self._wake:
            return self._running is LanePriority.KEYSTROKE or any(
                job.priority is LanePriority.KEYSTROKE and not job.future.cancelled() for job in self._queue
            )

    @property
    def last_keystroke_s(self) -> float:
        """The `time.monotonic` instant at which a keystroke's job last came or ended; -inf if none did."""
        return self._last_keystroke_s

    @property
    def waited_s(self) -> float:
        """How long the job that runs now stood in the queue; ask from within the job."""
        return self._wait_s

    def stats(self, priority: LanePriority) -> LaneStats:
        return self._stats[priority]

    def close(self, timeout_s: float = 5.0) -> bool:
        """Cancels what waits and joins the worker; False if the running job did not end in time.

        The thread is a daemon: even then it does not keep the process alive. Closing twice is fine.
        """
        with self._wake:
            self._closed = True
            pending, self._queue = self._queue, []
            self._wake.notify()
        for job in pending:
            job.future.cancel()
            job.future.set_running_or_notify_cancel()
        if threading.current_thread() is self._thread:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._finish(job)
            del job  # while the lane idles it must not keep a job's tensors alive

    def _note_keystroke(self, priority: LanePriority) -> None:
        if priority is LanePriority.KEYSTROKE:
            self._last_keystroke_s = time.monotonic()

    def _finish(self, job: _Job) -> None:
        try:
            result = job.work()
        except BaseException as error:  # noqa: BLE001 - the future carries it to whoever waits
            self._end(job)
            job.future.set_exception(error)
        else:
            self._end(job)
            job.future.set_result(result)

    def _end(self, job: _Job) -> None:
        self._running = None
        self._note_keystroke(job.priority)

    def _next(self) -> _Job | None:
        """The next job that nobody cancelled, marked as running; None when closed."""
        with self._wake:
            while not self._closed:
                if not self._queue:
                    self._wake.wait()
                    continue
                job = heapq.heappop(self._queue)
                if job.future.set_running_or_notify_cancel():
                    self._running = job.priority
                    self._wait_s = time.monotonic() - job.submitted_s
                    self._stats[job.priority] = self._stats[job.priority].plus(self._wait_s)
                    return job
            return None


def in_loop(
    loop: asyncio.AbstractEventLoop, ended: Callable[[T], None], otherwise: T, done: Future[T]
) -> None:
    """Calls `ended` there with what a job gave, or with `otherwise` where it gave nothing. Any thread; does
    nothing once the loop is closed."""
    has_failed = done.cancelled() or done.exception() is not None
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(ended, otherwise if has_failed else done.result())


class LatestWins:
    """A delay in which only the newest request of a key survives. Event loop only.

    Invariant: at most one request waits for each key; every request is answered exactly once, a
    superseded one the moment its successor arrives.
    """

    def __init__(self, most_before_s: float = QUIET_BEFORE_S) -> None:
        """So much of the quiet before a request counts as well: who types slower than that waits for less."""
        self._most_before_s = most_before_s
        self._waiting: dict[Hashable, asyncio.Future[bool]] = {}
        self._last_s: OrderedDict[Hashable, float] = OrderedDict()

    async def admit(self, key: Hashable, delay_s: float, token: CancellationToken) -> bool:
        """True after `delay_s` of quiet for `key` (0 means at once); False if superseded or cancelled."""
        older = self._waiting.pop(key, None)
        if older is not None:
            _answer(older, False)
        left_s = delay_s - min(self._quiet_before(key), self._most_before_s)
        if token.cancelled:
            return False
        if left_s <= 0:
            return True
        return await self._quiet(key, left_s, token)

    def _quiet_before(self, key: Hashable) -> float:
        """Seconds since the last request of `key`, which is now."""
        now_s = asyncio.get_running_loop().time()
        quiet_s = now_s - self._last_s.pop(key, -math.inf)
        self._last_s[key] = now_s
        if len(self._last_s) > KEYS_REMEMBERED:
            self._last_s.popitem(last=False)
        return quiet_s

    async def _quiet(self, key: Hashable, delay_s: float, token: CancellationToken) -> bool:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting[key] = waiter
        timer = loop.call_later(delay_s, _answer, waiter, True)
        take_back = token.on_cancel(lambda: _from_any_thread(loop, waiter))
        try:
            passed = await waiter
            # A successor may come between the timer and this line: then the place is no longer ours.
            return passed and self._waiting.get(key) is waiter and not token.cancelled
        finally:
            timer.cancel()
            take_back()
            if self._waiting.get(key) is waiter:
                del self._waiting[key]


def _answer(waiter: asyncio.Future[bool], passed: bool) -> None:
    if not waiter.done():
        waiter.set_result(passed)


def _from_any_thread(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[bool]) -> None:
    loop.call_soon_threadsafe(_answer, waiter, False)

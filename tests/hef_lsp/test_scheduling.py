"""The lane's order and ends, cancellation, and the delay in which the latest wins."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from hef_lsp.scheduling import (
    KEYS_REMEMBERED,
    MOST_QUEUED,
    QUIET_BEFORE_S,
    CancellationToken,
    InferenceLane,
    LaneClosed,
    LanePriority,
    LatestWins,
)

KEY, INDEX = LanePriority.KEYSTROKE, LanePriority.INDEX
PATIENCE_S = 30.0


@pytest.fixture
def lane() -> Iterator[InferenceLane]:
    lane = InferenceLane()
    yield lane
    lane.close()


class Gate:
    """Occupies the lane until opened."""

    def __init__(self, lane: InferenceLane, priority: LanePriority = INDEX) -> None:
        self._open, self.entered = threading.Event(), threading.Event()
        self.future = lane.submit(priority, self._job)
        assert self.entered.wait(PATIENCE_S)

    def _job(self) -> None:
        self.entered.set()
        self._open.wait(PATIENCE_S)

    def open(self) -> None:
        self._open.set()


def test_keystrokes_go_before_index_work_and_each_in_order(lane: InferenceLane) -> None:
    gate, order = Gate(lane), []
    jobs = [
        lane.submit(priority, lambda name=name: order.append(name))
        for priority, name in [(INDEX, "i1"), (KEY, "k1"), (INDEX, "i2"), (KEY, "k2"), (KEY, "k3")]
    ]
    gate.open()
    for job in jobs:
        job.result(PATIENCE_S)
    assert order == ["k1", "k2", "k3", "i1", "i2"]


def test_a_cancelled_queued_job_never_runs(lane: InferenceLane) -> None:
    gate, ran = Gate(lane), []
    doomed = lane.submit(KEY, lambda: ran.append("doomed"))
    kept = lane.submit(KEY, lambda: ran.append("kept"))
    assert doomed.cancel()
    gate.open()
    kept.result(PATIENCE_S)
    assert ran == ["kept"]


async def test_cancelling_the_awaited_asyncio_future_keeps_the_job_from_running(lane: InferenceLane) -> None:
    gate, ran = Gate(lane), []
    waiting = asyncio.wrap_future(lane.submit(KEY, lambda: ran.append(1)))
    waiting.cancel()
    await asyncio.sleep(0)
    gate.open()
    lane.run(KEY, lambda: None)
    assert ran == []


def test_an_exception_reaches_the_future_and_the_lane_lives_on(lane: InferenceLane) -> None:
    with pytest.raises(ZeroDivisionError):
        lane.run(KEY, lambda: 1 // 0)
    with pytest.raises(SystemExit):
        lane.run(KEY, lambda: (_ for _ in ()).throw(SystemExit(3)))
    assert lane.run(INDEX, lambda: 7) == 7


def test_all_jobs_run_in_one_named_daemon_thread(lane: InferenceLane) -> None:
    threads = {lane.run(priority, threading.current_thread) for priority in LanePriority for _ in range(3)}
    assert len(threads) == 1
    thread = threads.pop()
    assert thread.daemon and thread.name == "hef-inference" and thread is not threading.current_thread()


def test_run_inside_the_lane_runs_at_once_instead_of_waiting_for_itself(lane: InferenceLane) -> None:
    outer = lane.submit(INDEX, lambda: lane.run(INDEX, lambda: "inner"))
    assert outer.result(PATIENCE_S) == "inner"


def test_close_cancels_what_waits_and_refuses_more(lane: InferenceLane) -> None:
    gate = Gate(lane)
    pending = lane.submit(KEY, lambda: "never")
    closer = threading.Thread(target=lane.close)
    closer.start()
    with pytest.raises(CancelledError):
        pending.result(PATIENCE_S)
    gate.open()
    closer.join(PATIENCE_S)
    assert not closer.is_alive()
    with pytest.raises(LaneClosed, match="shutting down"):
        lane.submit(KEY, lambda: None)
    assert lane.close()


def test_close_never_hangs_on_a_job_that_does_not_end(lane: InferenceLane) -> None:
    gate = Gate(lane)
    began = time.monotonic()
    assert not lane.close(timeout_s=0.05)
    assert time.monotonic() - began < PATIENCE_S
    gate.open()


def test_keystroke_waiting_tells_queued_and_running_but_not_cancelled(lane: InferenceLane) -> None:
    assert not lane.keystroke_waiting()
    gate = Gate(lane, INDEX)
    assert not lane.keystroke_waiting()
    queued = lane.submit(KEY, lambda: None)
    assert lane.keystroke_waiting()
    queued.cancel()
    assert not lane.keystroke_waiting()
    gate.open()
    gate.future.result(PATIENCE_S)
    running = Gate(lane, KEY)
    assert lane.keystroke_waiting()
    running.open()
    running.future.result(PATIENCE_S)
    assert not lane.keystroke_waiting()


def test_the_last_keystroke_is_known_by_when_it_came_and_ended(lane: InferenceLane) -> None:
    lane.run(INDEX, lambda: None)
    assert lane.last_keystroke_s == float("-inf")
    began_s = time.monotonic()
    ended_s = lane.run(KEY, lambda: (time.sleep(0.02), time.monotonic())[1])
    assert lane.last_keystroke_s >= ended_s >= began_s + 0.02


def test_queue_time_is_measured(lane: InferenceLane) -> None:
    gate = Gate(lane)
    waited = lane.submit(KEY, lambda: lane.waited_s)
    time.sleep(0.03)
    gate.open()
    assert waited.result(PATIENCE_S) >= 0.03
    stats = lane.stats(KEY)
    assert stats.n_jobs == 1 and stats.longest_wait_s == stats.total_wait_s >= 0.03


def test_an_idle_lane_keeps_nothing_of_the_last_job_alive(lane: InferenceLane) -> None:
    class Tensor:
        pass

    def job(held: Tensor) -> None:
        del held

    tensor = Tensor()
    watch = weakref.ref(tensor)
    lane.run(KEY, lambda held=tensor: job(held))
    del tensor
    deadline = time.monotonic() + PATIENCE_S
    while watch() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.005)
    assert watch() is None


def test_token_calls_each_callback_once_even_if_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    token, calls = CancellationToken(), []
    token.on_cancel(lambda: calls.append("a"))
    token.on_cancel(lambda: 1 // 0)
    take_back = token.on_cancel(lambda: calls.append("never"))
    token.on_cancel(lambda: calls.append("b"))
    take_back()
    assert not token.cancelled
    token.cancel()
    token.cancel()
    assert token.cancelled and calls == ["a", "b"]
    assert "a cancellation callback failed" in caplog.text
    token.on_cancel(lambda: calls.append("late"))
    assert calls == ["a", "b", "late"]


def test_token_cancelled_from_many_threads_calls_back_once() -> None:
    for _ in range(50):
        token, calls = CancellationToken(), []
        token.on_cancel(lambda calls=calls: calls.append(1))
        threads = [threading.Thread(target=token.cancel) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert calls == [1]


def residue(latest: LatestWins) -> int:
    return len(latest._waiting)


async def test_a_newer_request_answers_the_older_at_once() -> None:
    latest = LatestWins()
    older = asyncio.create_task(latest.admit("doc", 60.0, CancellationToken()))
    await asyncio.sleep(0)
    newer = asyncio.create_task(latest.admit("doc", 0.01, CancellationToken()))
    assert await asyncio.wait_for(older, 1.0) is False
    assert await newer is True
    assert residue(latest) == 0


async def test_of_many_requests_only_the_newest_passes_and_keys_are_apart() -> None:
    latest = LatestWins(most_before_s=0.0)
    tasks = [asyncio.create_task(latest.admit("doc", 0.02, CancellationToken())) for _ in range(20)]
    other = asyncio.create_task(latest.admit("other", 0.02, CancellationToken()))
    assert await asyncio.gather(*tasks) == [False] * 19 + [True]
    assert await other is True
    assert residue(latest) == 0


async def test_no_delay_means_no_sleep_and_supersedes_as_well() -> None:
    latest = LatestWins()
    older = asyncio.create_task(latest.admit("doc", 60.0, CancellationToken()))
    await asyncio.sleep(0)
    coroutine = latest.admit("doc", 0.0, CancellationToken())
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)  # done without giving the loop a turn
    assert end.value.value is True
    assert await asyncio.wait_for(older, 1.0) is False


async def test_a_successor_between_the_timer_and_the_answer_still_wins() -> None:
    latest = LatestWins(most_before_s=0.0)
    older = asyncio.create_task(latest.admit("doc", 0.001, CancellationToken()))
    await asyncio.sleep(0)
    time.sleep(0.005)  # the timer is due; its answer and the successor fall into one turn of the loop
    newer = asyncio.create_task(latest.admit("doc", 0.0, CancellationToken()))
    assert sorted(await asyncio.gather(older, newer)) == [False, True]
    assert newer.result() is True


@pytest.mark.parametrize("from_thread", [False, True])
async def test_cancelling_the_token_answers_at_once_and_leaves_nothing(from_thread: bool) -> None:
    latest, token = LatestWins(), CancellationToken()
    waiting = asyncio.create_task(latest.admit("doc", 60.0, token))
    await asyncio.sleep(0)
    if from_thread:
        thread = threading.Thread(target=token.cancel)
        thread.start()
        thread.join()
    else:
        token.cancel()
    assert await asyncio.wait_for(waiting, 1.0) is False
    assert residue(latest) == 0
    assert await latest.admit("doc", 0.0, token) is False


async def test_cancelling_the_task_leaves_no_timer_place_or_callback() -> None:
    latest, token = LatestWins(), CancellationToken()
    waiting = asyncio.create_task(latest.admit("doc", 60.0, token))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert residue(latest) == 0 and not token._callbacks


def at_once(latest: LatestWins, delay_s: float, key: str = "doc") -> bool:
    """Whether a request passes without giving the loop a turn; one that would wait is withdrawn."""
    coroutine = latest.admit(key, delay_s, CancellationToken())
    try:
        coroutine.send(None)
    except StopIteration as end:
        return bool(end.value)
    coroutine.close()
    return False


async def test_quiet_before_a_request_counts() -> None:
    latest = LatestWins()
    assert at_once(latest, QUIET_BEFORE_S), "the first of all"
    assert not at_once(latest, QUIET_BEFORE_S), "right after another"
    assert at_once(latest, QUIET_BEFORE_S, "other")
    await asyncio.sleep(QUIET_BEFORE_S * 1.5)
    assert not at_once(latest, 2 * QUIET_BEFORE_S), "only so much of it"
    await asyncio.sleep(QUIET_BEFORE_S * 1.5)
    assert at_once(latest, QUIET_BEFORE_S)
    assert residue(latest) == 0


async def test_keys_are_remembered_by_the_dozen() -> None:
    latest = LatestWins()
    assert all(at_once(latest, QUIET_BEFORE_S, f"doc {number}") for number in range(KEYS_REMEMBERED + 1))
    assert len(latest._last_s) == KEYS_REMEMBERED
    assert not at_once(latest, QUIET_BEFORE_S, "doc 1")


def test_withdrawn_jobs_do_not_pile_up_behind_a_long_one(lane: InferenceLane) -> None:
    """Each held its document's text until the lane came to it."""
    gate = Gate(lane)
    texts: list[weakref.ref[CancellationToken]] = []
    for _ in range(1_000):
        text = CancellationToken()  # something that can be referred to weakly
        texts.append(weakref.ref(text))
        lane.submit(KEY, lambda text=text: text).cancel()
    del text
    gc.collect()
    assert sum(reference() is not None for reference in texts) <= MOST_QUEUED + 1
    gate.open()

"""The one thread that writes a workspace's index: changes first, then the scan, then the fusing.

Owns the thread and the open `Index`. What is wanted next is `hef_lsp.index_agenda`, what a change
means is `hef_lsp.workspace`. Work is cut into slices that end when something more urgent comes: a
save during the first index waits for a slice, not for the index.

Invariant: only this thread calls the updater; `_wake`, which guards the agenda, is not held meanwhile.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from hef_lsp.change_queue import ChangeQueue
from hef_lsp.index_agenda import Agenda, Step
from hef_lsp.index_work import FusingStalled, Work
from hef_lsp.scheduling import InferenceLane, LaneClosed
from hef_lsp.step_failures import StepFailures
from hef_lsp.work_slice import WorkSlice
from indexer.source_files import FileChange

if TYPE_CHECKING:
    from indexer.index import Index

log = logging.getLogger(__name__)

CHANGES_A_SLICE = 64
LONGEST_FUSE_S = 2.0
"""Choosing the next vectors costs time that grows with those that wait, so not after each batch."""

LEAST_SCAN_S = 0.5
"""A scan is not interrupted for changes sooner, nor before it got on: each time costs another walk."""

TYPING_S = 1.0
"""So long after a keystroke nothing is fused: the next one would wait for the batch under way."""
ANNOUNCE_EVERY_S = 0.1
MOST_RESCUES = 3
"""Openings in a row without coming to rest; more would be a loop on a disk that breaks all it is given."""
LANE_IS_GONE = (LaneClosed, CancelledError)


class IndexWriter:
    """Start it with `start`, end it with `close`. Any thread may call any public method."""

    def __init__(self, work: Work, lane: InferenceLane, quiet_s: float, name: str) -> None:
        self._work, self._lane = work, lane
        self._wake = threading.Condition()
        self._open_or_closed = threading.Lock()
        self._agenda = Agenda(ChangeQueue(quiet_s))
        self._index: Index | None = None
        self._doing: Step | None = None
        self._at_rest = True
        self._failures = StepFailures()
        self._rescues = 0
        self._figures: dict[str, Any] = {}
        self._progress = (0, 0)
        self._most_pending = self._scanned = 0
        self._announced: tuple[object, ...] = ()
        self._announced_s = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins to work; again is fine."""
        with self._wake:
            if self._thread.ident is None and not self._agenda.closed:
                self._thread.start()

    def enqueue(self, changes: Sequence[FileChange]) -> None:
        """Changes, to be followed after a quiet time; the newest of each path counts."""
        with self._wake:
            if self._agenda.add(changes, time.monotonic()):
                self._wake.notify_all()

    def open(self, wipe: bool = False) -> None:
        """Opens the index, again if it is open; with `wipe` from nothing. A scan follows."""
        with self._wake:
            self._agenda.open_wanted = True
            self._agenda.wipe |= wipe
            self._wake.notify_all()

    def scan(self) -> None:
        """Compares the whole folder with the index; takes over what another process wrote to it."""
        with self._wake:
            self._agenda.try_again(time.monotonic())
            self._agenda.scan_wanted = self._work.scans
            self._wake.notify_all()

    def errand(self, errand: Callable[[], None]) -> None:
        """Runs `errand` in the writer thread before anything else, paused or not."""
        with self._wake:
            self._agenda.errands.append(errand)
            self._wake.notify_all()

    def pause(self, paused: bool) -> None:
        """Stops after the batch under way; changes that come meanwhile are kept."""
        with self._wake:
            self._agenda.paused = paused
            self._wake.notify_all()

    @property
    def index(self) -> Index | None:
        return self._index

    def figures(self) -> dict[str, Any]:
        """The fields of the index's `IndexStatus`, the last known where the disk does not tell; empty
        while it is not open."""
        with self._open_or_closed:
            if self._index is None:
                return {}
            try:
                self._figures = dataclasses.asdict(self._index.status())
            except Exception:
                log.debug("the index's figures could not be read", exc_info=True)
            return dict(self._figures)

    @property
    def progress(self) -> tuple[int, int]:
        """Done and total of the scan or the fusing under way; (0, 0) where there is no telling."""
        return self._progress

    @property
    def problem(self) -> str:
        """What went wrong and was not put right since; empty when nothing did."""
        return self._failures.message

    @property
    def state(self) -> str:
        """`closed`, `paused`, a step's name, `error`, or `ready`."""
        with self._wake:
            agenda, has_index = self._agenda, self._index is not None
            if agenda.closed:
                return "closed"
            if agenda.paused:
                return "paused"
            step = self._doing or agenda.wanted(has_index, time.monotonic())
            if step is None and has_index and len(agenda.queue):
                step = Step.UPDATE
        return str(step) if step else "error" if self._failures else "ready"

    def wait_idle(self, timeout_s: float | None) -> bool:
        """True once nothing is left to do, or can be done for a problem; False after `timeout_s`
        (None: no limit), or when paused or closed first."""
        with self._wake:
            agenda = self._agenda
            self._wake.wait_for(lambda: agenda.paused or agenda.closed or self._is_idle(), timeout_s)
            return self._is_idle() and not agenda.closed

    def close(self, timeout_s: float = 5.0) -> bool:
        """Ends after the batch under way; False if that took longer than `timeout_s`."""
        with self._wake:
            self._agenda.closed = True
            self._wake.notify_all()
        if self._thread.ident is None or threading.current_thread() is self._thread:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _is_idle(self) -> bool:
        return self._at_rest and self._agenda.is_idle(self._index is not None)

    # From here on: the writer thread.

    def _run(self) -> None:
        while not self._agenda.closed:
            step = self._claim()
            self._announce()
            if step is None:
                self._sleep()
            else:
                self._attempt(step)
        self._close_index()

    def _claim(self) -> Step | None:
        with self._wake:
            self._doing = self._agenda.wanted(self._index is not None, time.monotonic(), self._fuse_due_s())
            if self._doing not in (Step.SCAN, Step.FUSE):
                self._progress = (0, 0)
            self._at_rest &= self._doing is None
            return self._doing

    def _sleep(self) -> None:
        with self._wake:
            agenda, has_index, now_s = self._agenda, self._index is not None, time.monotonic()
            self._at_rest, fuse_due_s = True, self._fuse_due_s()  # only now, when it was announced
            self._rescues *= bool(self._failures)
            self._wake.notify_all()
            if not agenda.closed and agenda.wanted(has_index, now_s, fuse_due_s) is None:
                due_s = agenda.next_due_s(fuse_due_s) if has_index else None
                self._wake.wait(None if due_s is None else max(0.001, due_s - now_s))

    def _fuse_due_s(self) -> float:
        return self._lane.last_keystroke_s + TYPING_S

    def _attempt(self, step: Step) -> None:
        steps = {
            Step.ERRAND: self._run_errand,
            Step.OPEN: self._open,
            Step.UPDATE: self._update,
            Step.SCAN: self._scan,
            Step.FUSE: self._fuse,
        }
        try:
            steps[step]()
            self._failures.clear(step)
            if self._index is not None:
                self._note_pending(self._index)
            self._rescue()  # a keystroke may have met damage that this step did not
        except LANE_IS_GONE:
            self._agenda.closed = True  # it goes with the server; without it nothing can be computed
        except Exception as error:  # noqa: BLE001 - the thread outlives any failure of a step
            self._failures.note(step, error)
            with self._wake:
                self._agenda.fail(step)
            self._rescue(error)

    def _rescue(self, error: Exception | None = None) -> None:
        """Opens again an index whose file is damaged or whose picture fell behind its store."""
        if self._index is not None and self._rescues < MOST_RESCUES and self._index.is_lost(error):
            self._rescues += 1
            self.open()

    def _run_errand(self) -> None:
        with self._wake:
            errand = self._agenda.errands.popleft()
        errand()

    def _open(self) -> None:
        with self._wake:
            wipe, self._agenda.wipe, self._agenda.open_wanted = self._agenda.wipe, False, False
        self._close_index()
        self._index = self._work.open_index(wipe)
        self._index.on_wish(self._wished)
        self._failures.clear_all()
        with self._wake:
            self._agenda.scan_wanted = self._work.scans

    def _wished(self) -> None:
        """In the lane's thread: somebody missed a memory."""
        with self._wake:
            self._agenda.want_fusing(True)
            self._wake.notify_all()

    def _close_index(self) -> None:
        with self._open_or_closed:
            index, self._index = self._index, None
            if index is not None:
                index.close()

    def _update(self) -> None:
        with self._wake:
            taken = self._agenda.queue.take(time.monotonic(), CHANGES_A_SLICE)
        changes, scan = self._work.prepare(taken)
        with self._wake:
            self._agenda.scan_wanted |= scan and self._work.scans
        try:
            self._apply(changes)
        except LANE_IS_GONE:
            raise
        except Exception:
            failed = self._apply_one_by_one(changes) if len(changes) > 1 else changes
            if failed:
                with self._wake:
                    self._agenda.fail(Step.UPDATE, failed)
                raise

    def _apply(self, changes: Sequence[FileChange]) -> None:
        assert self._index is not None
        if changes:
            self._lane.give_way(lambda: self._agenda.closed)
            self._index.updater.apply(changes)

    def _apply_one_by_one(self, changes: Sequence[FileChange]) -> list[FileChange]:
        """Those that fail alone too, so that one bad file does not hold up the others.

        Where the first two fail, the cause is no file: the rest is not tried.
        """
        failed: list[FileChange] = []
        for number, change in enumerate(changes):
            try:
                self._apply([change])
            except LANE_IS_GONE:
                raise
            except Exception:  # noqa: BLE001 - the caller raises the first failure
                failed.append(change)
            if len(failed) == number + 1 == 2:
                return list(changes)
        return failed

    def _scan(self) -> None:
        assert self._index is not None
        show, scanned = self._show_progress, self._scanned  # in interrupted slices of this scan
        signal = WorkSlice(
            self._interrupted, lambda done, total: show(scanned + done, scanned + total), LEAST_SCAN_S
        )
        with self._wake:
            self._agenda.scan_wanted = False  # before it begins: a wish that comes meanwhile counts
        self._index.updater.scan(self._work.first(), signal.note_progress, signal)
        with self._wake:
            self._scanned = max(scanned, self._progress[0]) if signal.fired else 0
            self._agenda.scan_wanted |= signal.fired
            if not signal.fired:
                self._agenda.queue.put([FileChange(path) for path in self._work.first()], time.monotonic())

    def _fuse(self) -> None:
        assert self._index is not None
        updater, signal = self._index.updater, WorkSlice(self._fuse_interrupted, most_s=LONGEST_FUSE_S)
        updater.remember(self._index.view(), self._work.first(), signal)
        before = updater.pending()
        made = updater.fuse_pending(None, self._work.first(), signal)
        if updater.pending() >= before > 0 and not (made.encoded or made.fused or signal.fired):
            raise FusingStalled(f"{before} vectors stay unfused; run the command hef.reindex")

    def _note_pending(self, index: Index) -> None:
        with self._wake:  # no wish comes between counting and noting
            pending = index.updater.pending()
            self._agenda.want_fusing(pending + index.updater.unread() > 0)
        self._most_pending = max(self._most_pending, pending) if pending else 0
        if self._doing is Step.FUSE:
            self._progress = (self._most_pending - pending, self._most_pending)

    def _interrupted(self, by_changes: bool) -> bool:
        self._lane.give_way(lambda: self._agenda.closed)
        with self._wake:
            return self._agenda.interrupts(time.monotonic(), by_changes)

    def _fuse_interrupted(self, by_changes: bool) -> bool:
        return time.monotonic() < self._fuse_due_s() or self._interrupted(by_changes)

    def _show_progress(self, done: int, total: int) -> None:
        self._progress = (done, total)
        if time.monotonic() - self._announced_s >= ANNOUNCE_EVERY_S:
            self._announce()

    def _announce(self) -> None:
        now = (self.state, self._progress, self.problem)
        if now != self._announced:
            self._announced, self._announced_s = now, time.monotonic()
            try:
                self._work.announce()
            except Exception:
                log.exception("a listener to the index's state failed")

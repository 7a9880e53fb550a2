"""What an index writer has still to do, and what of it comes first.

Pure bookkeeping on given instants (`time.monotonic`): no threads, no lock; its owner holds one. What
is done in each step is `hef_lsp.index_writer`'s.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from hef_lsp.change_queue import ChangeQueue
from indexer.source_files import FileChange


class Step(StrEnum):
    """What the writer does at one time; the value is the state as users see it."""

    ERRAND = "preparing"
    OPEN = "opening"
    UPDATE = "updating"
    SCAN = "scanning"
    FUSE = "fusing"


@dataclass
class Agenda:
    """Wishes of other threads and what is left of earlier steps.

    Invariant: a step that failed is wanted again only after something new came (`try_again`), so
    that no failure is repeated in a loop.
    """

    queue: ChangeQueue
    errands: deque[Callable[[], None]] = field(default_factory=deque)
    open_wanted: bool = False
    wipe: bool = False
    scan_wanted: bool = False
    fuse_wanted: bool = False
    paused: bool = False
    closed: bool = False
    failed: set[Step] = field(default_factory=set)
    held: dict[str, FileChange] = field(default_factory=dict)

    def wanted(self, has_index: bool, now_s: float, fuse_due_s: float = -math.inf) -> Step | None:
        """The most urgent step that can be taken now; fusing not before `fuse_due_s`."""
        if self.errands:
            return Step.ERRAND
        if self.paused:
            return None
        if self.open_wanted:
            return Step.OPEN
        if not has_index:
            return None
        if self._changes_ready(now_s):
            return Step.UPDATE
        if self.scan_wanted:
            return Step.SCAN
        return Step.FUSE if self.fuse_wanted and now_s >= fuse_due_s else None

    def next_due_s(self, fuse_due_s: float) -> float | None:
        """The instant at which a step can be taken without anything new; None when none will."""
        if self.paused:
            return None
        changes_s = self.queue.next_due_s()
        fuse_s = fuse_due_s if self.fuse_wanted else None
        return min((due_s for due_s in (changes_s, fuse_s) if due_s is not None), default=None)

    def interrupts(self, now_s: float, by_changes: bool) -> bool:
        """Whether the slice under way should end; changes count only where `by_changes`."""
        must = self.closed or self.paused or self.open_wanted or bool(self.errands)
        return must or (by_changes and self._changes_ready(now_s))

    def is_idle(self, has_index: bool) -> bool:
        """Whether nothing is left, or nothing can be done because opening the index failed."""
        if self.errands or self.open_wanted:
            return False
        if not has_index:
            return Step.OPEN in self.failed
        return not (self.scan_wanted or self.fuse_wanted or len(self.queue))

    def add(self, changes: Iterable[FileChange], now_s: float) -> bool:
        """Takes changes in; whether a writer that sleeps must be woken for them.

        One that sleeps until earlier changes are due sleeps on: each key would wake it otherwise, to want the
        interpreter just when that key is answered.
        """
        woken_s = None if self.failed else self.queue.next_due_s()
        self.try_again(now_s)
        self.queue.put(changes, now_s)
        due_s = self.queue.next_due_s()
        return woken_s is None or (due_s is not None and due_s < woken_s)

    def want_fusing(self, wanted: bool) -> None:
        """Whether there is anything to fuse or to remember; not after a failure, until something new came."""
        self.fuse_wanted = wanted and Step.FUSE not in self.failed

    def fail(self, step: Step, changes: Iterable[FileChange] = ()) -> None:
        """`step` failed; `changes` are those it could not work off."""
        self.failed.add(step)
        self.scan_wanted &= step is not Step.SCAN
        self.fuse_wanted &= step is not Step.FUSE
        self.held.update((change.path, change) for change in changes)

    def try_again(self, now_s: float) -> None:
        """Something new came: what failed before may work now."""
        self.open_wanted |= Step.OPEN in self.failed
        self.scan_wanted |= Step.SCAN in self.failed
        self.fuse_wanted |= Step.FUSE in self.failed
        self.failed.clear()
        self.queue.put_back(self.held.values(), now_s)
        self.held.clear()

    def _changes_ready(self, now_s: float) -> bool:
        due_s = self.queue.next_due_s()
        return due_s is not None and due_s <= now_s

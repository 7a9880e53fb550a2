"""Changes that wait for quiet: the newest for each path, ready once nothing more came for a while.

Pure bookkeeping on given instants; threads and locks are the index writer's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from indexer.source_files import FileChange

LONGEST_WAIT_S = 2.0
"""A file that changes all the time is looked at this often nevertheless."""


@dataclass(frozen=True)
class _Waiting:
    change: FileChange
    first_s: float
    due_s: float


class ChangeQueue:
    """Invariant: at most one change for each path, the newest. Instants are `time.monotonic`'s."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._longest_s = max(LONGEST_WAIT_S, quiet_s)
        self._waiting: dict[str, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, changes: Iterable[FileChange], now_s: float) -> None:
        for change in changes:
            older = self._waiting.pop(change.path, None)
            first_s = older.first_s if older else now_s
            due_s = min(now_s + self._quiet_s, first_s + self._longest_s)
            self._waiting[change.path] = _Waiting(change, first_s, due_s)

    def put_back(self, changes: Iterable[FileChange], now_s: float) -> None:
        """What could not be worked off; ready again at once, unless a newer one came meanwhile."""
        for change in changes:
            self._waiting.setdefault(change.path, _Waiting(change, now_s, now_s))

    def next_due_s(self) -> float | None:
        """The instant at which something is ready; None when nothing waits."""
        return min((waiting.due_s for waiting in self._waiting.values()), default=None)

    def take(self, now_s: float, most: int) -> list[FileChange]:
        """What is ready, oldest first, at most so many; it leaves the queue."""
        ready = (waiting.change for waiting in self._waiting.values() if waiting.due_s <= now_s)
        taken = list(islice(ready, most))
        for change in taken:
            del self._waiting[change.path]
        return taken

"""What the server is doing, as the editor shows it: `hef/status` and work-done progress.

Owns when something is said, not what: reports come from the session. Event loop only.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

from lsprotocol import types as lsp

from hef_lsp.client import STATUS, Client, NoAnswer

SETTLED = frozenset({"ready", "paused", "error"})
QUIET_S = 0.05
"""Reports that come closer together than this are told as one."""

TITLE = "hef-lsp"


@dataclass(frozen=True)
class Report:
    """One line of status. `total` is 0 where there is no telling how much is to do."""

    state: str
    message: str = ""
    done: int = 0
    total: int = 0

    @property
    def settled(self) -> bool:
        return self.state in SETTLED

    @property
    def percentage(self) -> int | None:
        return min(100, 100 * self.done // self.total) if self.total > 0 else None


class StatusTeller:
    """Tells each report once, the newest after a short quiet."""

    def __init__(
        self, client: Client, report: Callable[[], Report], spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._client, self._report = client, report
        self._progress = WorkDoneProgress(client, spawn)
        self._timer: asyncio.TimerHandle | None = None
        self._told: Report | None = None
        self._closed = False

    def changed(self) -> None:
        """Something may have changed; cheap to call often, and nothing after `close`."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(QUIET_S, self._tell)

    def is_progress(self, token: int | str) -> bool:
        """Whether the progress shown now is the one of this token."""
        return self._progress.token == token

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        self._timer = None
        report = self._report()
        if report != self._told:
            self._told = report
            self._client.notify(STATUS, asdict(report))
            self._progress.show(report)


class WorkDoneProgress:
    """One progress at a time, each with a token of its own; silent where the client shows none."""

    def __init__(self, client: Client, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._client, self._spawn = client, spawn
        self._latest = Report("ready")
        self._asking = False
        self._refused = False
        self.token: str | None = None

    def show(self, report: Report) -> None:
        self._latest = report
        if self.token is not None:
            self._go_on(report)
        elif not (report.settled or self._asking or self._refused) and self._client.can_show_progress:
            self._asking = True
            self._spawn(self._begin())

    async def _begin(self) -> None:
        token = str(uuid.uuid4())
        try:
            create = lsp.WorkDoneProgressCreateParams(token)
            await self._client.ask(lsp.WINDOW_WORK_DONE_PROGRESS_CREATE, create)
        except NoAnswer:
            self._refused = True
            return
        finally:
            self._asking = False
        report = self._latest
        if report.settled:  # the work was shorter than the question
            return
        self.token = token
        begin = lsp.WorkDoneProgressBegin(
            title=TITLE, cancellable=True, message=_line(report), percentage=report.percentage
        )
        self._send(begin)

    def _go_on(self, report: Report) -> None:
        if report.settled:
            self._send(lsp.WorkDoneProgressEnd(message=_line(report)))
            self.token = None
        else:
            self._send(lsp.WorkDoneProgressReport(message=_line(report), percentage=report.percentage))

    def _send(self, value: Any) -> None:
        assert self.token is not None, "a progress is told only between begin and end"
        self._client.notify(lsp.PROGRESS, lsp.ProgressParams(self.token, value))


def _line(report: Report) -> str:
    return f"{report.state}: {report.message}" if report.message else report.state


def report_of(status: dict[str, Any]) -> Report:
    return Report(status["state"], status["message"], status["done"], status["total"])

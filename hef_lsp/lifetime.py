"""When the process leaves: with its client, and with its parent. Owns one daemon thread.

A client that crashes does not always close the pipe (a child of its may hold it), so `processId` of
`initialize` is watched as the protocol asks.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

import psutil

log = logging.getLogger(__name__)

POLL_S = 0.5
GRACE_S = 1.5
"""How long the loop may take to end in order before the process is ended without it."""


def watch_parent(
    process_id: int | None,
    on_death: Callable[[], None],
    end_process: Callable[[int], None] = os._exit,
) -> threading.Thread | None:
    """Calls `on_death` from a thread when the process ends, and `end_process(1)` a little later.

    None where there is nothing to watch: no id, or one that is not of this machine's process table, as
    when the editor runs outside the container.
    """
    if process_id is None:
        return None
    try:
        parent = psutil.Process(process_id)
    except psutil.Error:
        log.warning("the client's process %d is not visible here; it is not watched", process_id)
        return None

    def watch() -> None:
        while _is_alive(parent):
            time.sleep(POLL_S)
        log.warning("the client's process %d has ended; leaving", process_id)
        on_death()
        time.sleep(GRACE_S)
        end_process(1)

    thread = threading.Thread(target=watch, name="hef-parent-watch", daemon=True)
    thread.start()
    return thread


def _is_alive(process: psutil.Process) -> bool:
    """`is_running` compares the start time as well: ids are used again. A zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

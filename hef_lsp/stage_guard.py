"""Lets one stage of a completion fail without taking the others with it, and says each cause once.

The log names the stage, the kind of error and where it was raised, never its message, which may quote
source text; the whole traceback is at DEBUG. Any thread.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class StageGuard:
    """Each cause (stage, kind of error, place in our code) is warned of once."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str, str]] = set()

    def attempt(self, stage: str, job: Callable[[], T]) -> T | None:
        """What `job` returns, or None if it raised."""
        try:
            return job()
        except Exception as error:  # noqa: BLE001 - the edge where a keystroke's failure becomes silence
            self._say_once(stage, error)
            return None

    def _say_once(self, stage: str, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
        cause = (stage, type(error).__name__, where)
        if cause not in self._said:
            self._said.add(cause)
            logger.warning(
                "completion goes on without %s: %s at %s (said once; --log-level debug shows each)", *cause
            )
        logger.debug("the stage %s failed", stage, exc_info=error)

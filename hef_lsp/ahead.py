"""What looking ahead found at a place: data between the engine, in the lane, and the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hef_lsp.engine import Suggestion


@dataclass(frozen=True)
class Ahead:
    """What was worked out before anybody asked, and whether it would be told more once memories are made."""

    suggestions: Sequence[Suggestion] = ()
    lacks_memories: bool = False

"""A training run while it goes on: its newest figures as a table that stays in place.

Owns what is shown. Where stderr is no terminal, each line is passed on as it came.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

from rich.live import Live
from rich.table import Table

from hef_lsp.commands.console import err

COUNTS = ("step", "examples", "spent_s", "stage")


class TrainingView:
    """A context manager; give `hear` the lines of `model.training.remote`."""

    def __init__(self, live: bool | None = None) -> None:
        """`live` None follows the terminal."""
        console = err()
        self._console = console
        self._figures: dict[str, Any] = {}
        self._live = Live(console=console, transient=False) if live or console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def hear(self, line: str) -> None:
        """Figures go into the table, everything else above it."""
        if self._live is None:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            return
        try:
            figures = json.loads(line)
        except ValueError:
            figures = None
        if isinstance(figures, dict) and "step" in figures:
            self._figures |= figures
            self._live.update(self.table())
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def table(self) -> Table:
        """Counts first, then each figure's newest value."""
        table = Table("figure", "newest")
        names = [name for name in COUNTS if name in self._figures]
        for name in (*names, *sorted(self._figures.keys() - set(COUNTS))):
            table.add_row(name, str(self._figures[name]))
        return table

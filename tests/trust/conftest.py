"""Ends the run with the table of what the trust tests did."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tally import table

sys.path.append(str(Path(__file__).resolve().parents[1] / "e2e"))  # the client at the level of the wire


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := table():
        terminalreporter.section("trust")
        for line in lines:
            terminalreporter.line(line)

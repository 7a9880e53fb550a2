"""Ends the run with the table of what the trust tests did."""

from __future__ import annotations

import pytest
from tally import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := table():
        terminalreporter.section("trust")
        for line in lines:
            terminalreporter.line(line)

"""What the trust tests did, counted: each adds to a row, and the run ends with the table.

`HEF_TRUST=full`, as `make test-trust` sets it, asks for the long forms; without it each test is short.
"""

from __future__ import annotations

import os
from collections import Counter
from enum import StrEnum

TRUST = "HEF_TRUST"
FULL = os.environ.get(TRUST) == "full"


class Row(StrEnum):
    """The rows of the table, in its order."""

    FAULTS_INJECTED = "faults injected"
    FAULTS_SURVIVED = "faults survived"
    REQUESTS_SENT = "requests sent"
    REQUESTS_ANSWERED = "requests answered"
    INPUTS_FUZZED = "inputs fuzzed"
    SECRETS_PLANTED = "secrets planted"
    SECRETS_LEAKED = "secrets leaked"
    BYTES_TO_NETWORK = "bytes sent to the network"


_tally: Counter[Row] = Counter()


def count(row: Row, by: int = 1) -> None:
    """Add to a row; zero makes the row appear, as it should for what must stay zero."""
    _tally[row] += by


def table() -> list[str]:
    """One line for each row that was counted, aligned; none if nothing was."""
    rows = [row for row in Row if row in _tally]
    width = max((len(row) for row in rows), default=0)
    return [f"{row.value:<{width}}  {_tally[row]:>12,}" for row in rows]

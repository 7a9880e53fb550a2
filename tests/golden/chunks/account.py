"""Accounts and what happens to them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

# Cents, so that sums are exact.
LIMITS = {
    "daily": 100_000,
    "weekly": 500_000,
    "monthly": 1_500_000,
}


class OverLimit(Exception):
    """More than the limit was asked for."""


@dataclass(frozen=True)
class Entry:
    amount: int
    reason: str = ""


@dataclass
class Account:
    """One customer's money."""

    owner: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def balance(self) -> int:
        return sum(entry.amount for entry in self.entries)

    # The only way money leaves.
    def withdraw(self, amount: int, period: str = "daily") -> Entry:
        if amount <= 0:
            raise ValueError(f"cannot withdraw {amount}")
        if amount > LIMITS[period]:
            raise OverLimit(f"{amount} is more than {LIMITS[period]}")
        entry = Entry(-amount, reason=f"withdrawal ({period})")
        self.entries.append(entry)
        logger.info("withdrew %d from %s", amount, self.owner)
        return entry

    def deposit(self, amount: int) -> Entry:
        entry = Entry(amount, reason="deposit")
        self.entries.append(entry)
        return entry


def transfer(source: Account, target: Account, amount: int) -> None:
    source.withdraw(amount)
    target.deposit(amount)


if __name__ == "__main__":
    transfer(Account("a"), Account("b"), 1)

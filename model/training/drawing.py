"""Which record comes next: by chance, by how much is to be learned from what was retrieved for it.

Owns the draw and the filter. Retrieval helps few places and harms as many (Repoformer); whoever trains on all
of them learns to look away. Utilities are scored by `model.training.utility`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from model.training.records import Record, Repository


@dataclass(frozen=True)
class Filter:
    """Records whose utility is under `least` nats a token are unhelpful; a share of `unhelpful` is of these.

    Records that were not scored count as helpful, so that nothing is filtered where nothing is known.
    """

    least: float = 0.05
    unhelpful: float = 0.22

    def is_helpful(self, record: Record) -> bool:
        """Whether its context is worth having."""
        return record.utility is None or record.utility >= self.least


class _Pool:
    """Records of some repositories, each as likely as any other."""

    def __init__(self, repositories: Sequence[Repository], records: Sequence[Sequence[Record]]) -> None:
        pairs = [(one, found) for one, found in zip(repositories, records, strict=True) if found]
        self._repositories = [repository for repository, _ in pairs]
        self._records = [found for _, found in pairs]
        self._weights = [len(found) for found in self._records]

    def __bool__(self) -> bool:
        return bool(self._weights)

    def draw(self, source: random.Random) -> tuple[Repository, Record]:
        number = source.choices(range(len(self._weights)), self._weights)[0]
        return self._repositories[number], source.choice(self._records[number])


class Drawing:
    """Draws from `repositories`; raises ValueError where they hold no record."""

    def __init__(self, repositories: Sequence[Repository], chosen: Filter) -> None:
        self._all = _Pool(repositories, [one.records for one in repositories])
        helpful = [[record for record in one.records if chosen.is_helpful(record)] for one in repositories]
        others = [[record for record in one.records if not chosen.is_helpful(record)] for one in repositories]
        self._helpful, self._unhelpful = _Pool(repositories, helpful), _Pool(repositories, others)
        self._share = chosen.unhelpful
        if not self._all:
            raise ValueError("there are no records to train on")

    def any(self, source: random.Random) -> tuple[Repository, Record]:
        """Every record alike."""
        return self._all.draw(source)

    def useful(self, source: random.Random) -> tuple[Repository, Record]:
        """Helpful ones but for the share of the others; all there are where one kind is missing."""
        if not self._helpful or not self._unhelpful:
            return self._all.draw(source)
        return (self._unhelpful if source.random() < self._share else self._helpful).draw(source)

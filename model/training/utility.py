"""How much a record's context helps: forward passes without it and with it as text.

Owns the scoring. u = weighted mean of log p(target | prefix, context) - log p(target | prefix), in nats a
token, with the weights that training gives (names weigh more). What is done with it is
`model.training.drawing`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from model.protocols import FimTemplate
from model.tokenization import HfTokenizer
from model.training.batches import Sizes, make_batch
from model.training.examples import ExampleMaker, ExamplePlan
from model.training.network import Network
from model.training.records import Record, Repository


class Scorer:
    """Scores records in batches of `rows`, with the generator of `network` as it stands."""

    def __init__(
        self,
        network: Network,
        tokenizer: HfTokenizer,
        fim: FimTemplate | None,
        plan: ExamplePlan,
        rows: int,
    ) -> None:
        self._network, self._rows, self._plan = network, rows, plan
        self._maker = ExampleMaker((), tokenizer, fim, plan, random.Random(0))
        text = plan.prefix_tokens + plan.target_tokens + 32
        self._without = Sizes(rows, text, plan.target_tokens, 0, 1, 0)
        self._with = replace(self._without, text=text + plan.text_tokens)

    @torch.no_grad()
    def utilities(self, repository: Repository, records: Sequence[Record]) -> list[float]:
        """Of each of `records`, which are of `repository`."""
        found: list[float] = []
        device = next(self._network.parameters()).device
        for start in range(0, len(records), self._rows):
            pairs = [self._maker.pair(repository, record) for record in records[start : start + self._rows]]
            nats = []
            for side, sizes in ((0, self._without), (1, self._with)):
                batch = make_batch("text", [pair[side] for pair in pairs], sizes).to(device)
                losses = self._network.losses(batch, None, None)
                nats.append((losses * batch.weights).sum(1) / batch.weights.sum(1).clamp(min=1e-6))
            found += (nats[0] - nats[1]).tolist()
        return found


def scored(
    repositories: Sequence[Repository], scorer: Scorer, most: int, until_s: float, seed: int
) -> Iterator[Repository]:
    """The same repositories with utilities; at most `most` records of each, drawn by `seed`.

    Records that have one keep it. After `until_s` of a monotonic clock the rest stays as it is.
    """
    for repository in repositories:
        source = random.Random(f"{seed} {repository.name}")
        places = [place for place, record in enumerate(repository.records) if record.utility is None]
        chosen = sorted(source.sample(places, min(most, len(places))))
        if not chosen or time.monotonic() >= until_s:
            yield repository
            continue
        found = scorer.utilities(repository, [repository.records[place] for place in chosen])
        of = dict(zip(chosen, found, strict=True))
        records = tuple(
            replace(record, utility=round(of[place], 4)) if place in of else record
            for place, record in enumerate(repository.records)
        )
        yield replace(repository, records=records)

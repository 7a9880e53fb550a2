"""Fits what one reading tells to what a second reading showed, by least squares, layer by layer.

Owns the sums, their solution and the figures by which it is judged. The texts are training repositories',
never a benchmark's; sampling them is `hef_lsp.commands.training_needs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor

from model.slots.needs import Needs, with_one
from model.slots.reader import Watched

RIDGE = 5e-5
"""A row's share: unit rows of 576 numbers have squares of 1/576 in the mean."""


class NeedsFit:
    """Sums over texts; their size does not grow."""

    def __init__(self) -> None:
        self._squares: Tensor | None = None
        self._products: Tensor | None = None
        self.n_rows = 0

    def add(self, watched: Watched) -> None:
        """Rows and scores of one text."""
        rows = with_one(watched.rows)
        squares, products = rows.mT @ rows, rows.mT @ watched.scores.mT
        self._squares = squares if self._squares is None else self._squares + squares
        self._products = products if self._products is None else self._products + products
        self.n_rows += rows.shape[1]

    def solved(self) -> Needs:
        """Raises ValueError without any text."""
        if self._squares is None or self._products is None:
            raise ValueError("no text to fit to")
        squares, products = self._squares.double(), self._products.double()
        ridge = RIDGE * self.n_rows * torch.eye(squares.shape[-1], dtype=torch.float64)
        whole = torch.cholesky_solve(products, torch.linalg.cholesky(squares + ridge))
        return Needs(whole.float())


@dataclass(frozen=True)
class NeedsFigures:
    """Of `texts`: `found`, the share of the pairs to keep that are kept, and `mass`, of their scores."""

    texts: int
    found: float
    mass: float


def figures_of(needs: Needs, texts: list[Watched], n_pairs: int) -> NeedsFigures:
    """How well the best `n_pairs` of each text are told. Raises ValueError without any text."""
    if not texts:
        raise ValueError("no text to judge by")
    found, mass = [], []
    for watched in texts:
        told = torch.stack([needs.scores(layer, rows) for layer, rows in enumerate(watched.rows)]).flatten()
        true = watched.scores.flatten()
        n_kept = min(n_pairs, len(true))
        kept, best = (scores.topk(n_kept).indices for scores in (told, true))
        found.append(float(torch.isin(kept, best).float().mean()))
        mass.append(float(true[kept].sum() / true[best].sum()))
    return NeedsFigures(len(texts), round(mean(found), 4), round(mean(mass), 4))

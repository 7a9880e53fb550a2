"""How much each pair of a text will be needed, told from one reading of it.

Owns a linear map for each layer. Reading a text a second time says it too (`model.slots.reader`), at twice
the cost; the maps are fitted to that by `model.slots.needs_fitting`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import pad

from model.slots.learnt_file import PACKAGE, Learnt


@dataclass(frozen=True, eq=False)
class Needs(Learnt):
    """`weights` ``[L, H + 1, G]``: of a layer's unit rows and a one to a score of each key head.

    A generator without needs has its texts read twice. Other weights choose other pairs.
    """

    version, n_dimensions, folder = 1, 3, PACKAGE / "needs"

    def scores(self, layer: int, rows: Tensor) -> Tensor:
        """Unit rows ``[n, H]`` to ``[G, n]``; the higher, the more will be looked there."""
        return (with_one(rows) @ self.weights[layer].to(rows)).T

    def fits(self, n_layers: int, n_kv_heads: int, hidden_size: int) -> bool:
        """Whether it is for a generator of this shape."""
        return self.weights.shape == (n_layers, hidden_size + 1, n_kv_heads)


def with_one(rows: Tensor) -> Tensor:
    """Rows ``[..., H]`` and a one behind each, ``[..., H + 1]``."""
    return pad(rows, (0, 1), value=1.0)

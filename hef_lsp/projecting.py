"""Pseudo-tokens of what was retrieved: made once for the same memories, as many as the budget allows.

Called in the inference lane only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hef_lsp.stage_guard import StageGuard
from model.protocols import FloatArray, Generator, Projector, PseudoTokens
from model.slot_pairs import SlotPairs

if TYPE_CHECKING:
    from indexer.retriever import Hit

LARGEST_CONTEXT = 4
"""Pseudo-tokens take at most one part in so many of the generator's context window."""


@dataclass(frozen=True)
class Projected:
    """`rows` are those of the first `n_shown` hits: a budget may leave out the others."""

    rows: PseudoTokens
    n_shown: int


class Projecting:
    """Of one request after the other."""

    def __init__(self, generator: Generator, guard: StageGuard) -> None:
        self._generator, self._guard = generator, guard
        self._last: tuple[object, Projected] | None = None

    def projected(
        self, projector: Projector, hits: Sequence[Hit], memories: Mapping[str, FloatArray], budget: int
    ) -> Projected | None:
        """Of the hits, best first, which all have memories; None if the projector failed."""
        if not hits:
            return Projected(np.zeros((0, self._generator.hidden_size), dtype=np.float32), 0)
        digests, levels = [hit.node.digest for hit in hits], [int(hit.node.kind) for hit in hits]
        asked = (digests, levels, budget)
        if self._last is not None and self._last[0] == asked:
            return self._last[1]
        vectors = np.stack([memories[digest] for digest in digests])
        room = self._generator.context_window // LARGEST_CONTEXT
        rows = self._guard.attempt("projector", lambda: projector.project(vectors, levels, budget, room))
        if rows is None:
            return None
        projected = Projected(rows, _n_shown(rows, n_vectors=vectors.shape[1]))
        self._last = asked, projected
        return projected


def _n_shown(rows: PseudoTokens, n_vectors: int) -> int:
    return rows.n_nodes if isinstance(rows, SlotPairs) else -(-len(rows) // n_vectors)

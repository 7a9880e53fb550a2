"""Reads an open file piece by piece, as a prompt's window would be read.

Owns the passes. Each piece stands behind the fixed introduction that slots stand behind
(`model.slots.reader`) and the tokens of the file before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.protocols import CancelSignal
from model.readings.reading import PIECE, Reading
from model.runtime.beside import Beside, stop_if
from model.runtime.layers import Stack
from model.runtime.moving import laid, lifted
from model.runtime.pairs import Pairs, packed

BEFORE = 512
"""Tokens of the file that a piece sees before itself."""
NEAR, FAR = 1024, 0.25
"""What is read first: so many tokens before the cursor; what lies after it takes that share at most."""


class OpenFileReader:
    """One piece after the other, in a cache of its own; for the inference lane's thread only."""

    def __init__(self, stack: Stack, introduction: Sequence[int]) -> None:
        """Token ids; `introduction` is `model.slots.reader.introduction_of` the generator's tokenizer."""
        self._beside = Beside(stack, introduction, stack.rows.up(len(introduction) + BEFORE + PIECE))

    def read_on(self, reading: Reading, cursor: int, n_tokens: int, cancel: CancelSignal) -> bool:
        """Reads one piece more; False where nothing is left of the `n_tokens` that are to be kept.

        `cursor` counts tokens. What lies before it comes first. Raises `Interrupted` between two layers
        once `cancel` is set.
        """
        n_after = int(n_tokens * FAR)
        first, end_of_all = max(0, cursor + n_after - n_tokens), max(cursor + n_after, n_tokens)
        near = max(first, cursor - NEAR)
        wanted = reading.unread(near, end_of_all) or reading.unread(first, near)
        if wanted is None:
            return False
        begin, end = wanted
        reading.keep(first, end_of_all)
        reading.put(begin, self._read(reading, begin, end, cancel))
        return True

    def _read(self, reading: Reading, begin: int, end: int, cancel: CancelSignal) -> Pairs:
        def before(_layer: int, _rows: Tensor) -> None:
            stop_if(cancel)

        beside = self._beside
        with torch.inference_mode():
            at = beside.begin(before)
            seen = reading.parts_before(begin, BEFORE)
            if seen:
                laid(beside.cache, at, seen)
                at += sum(map(len, seen))
            beside.read(reading.tokens(begin, end), at, before)
            return packed(lifted(beside.cache, at, at + end - begin))

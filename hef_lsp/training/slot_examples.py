"""Examples to learn the maps of slots by: a cursor, its code to come, and the pairs of what was retrieved.

Owns how many tokens are read and which of them count. Drawing is `model.training.examples`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from model.slots.fuser import SlotFuser
from model.slots.maps_fitting import SlotExample
from model.slots.pairs import together
from model.tokenization import HfTokenizer
from model.training.examples import ExampleMaker, ExamplePlan
from model.training.records import Repository

PLAN = ExamplePlan(prefix_tokens=256, target_tokens=48, no_context=0.0, fill_in=0.0)
N_BEFORE, WEIGHT_BEFORE = 96, 0.15
"""Tokens before the cursor that count, too: what was retrieved helps to say them as well."""


def slot_examples(
    repositories: Sequence[Repository], tokenizer: HfTokenizer, fuser: SlotFuser, seed: int
) -> Iterator[SlotExample]:
    """Without end, in the inference lane's thread."""
    maker = ExampleMaker(repositories, tokenizer, None, PLAN, random.Random(seed))
    while True:
        drawn = maker.task(as_text=False)
        texts = [tokenizer.decode(chunk) for chunk in reversed(drawn.chunks)]
        read = [fuser.pairs_of(ids) for ids in fuser.token_ids(texts) if ids]
        if read and drawn.target:
            n_before = min(N_BEFORE, len(drawn.prompt) - 1)
            weights = (*(WEIGHT_BEFORE for _ in range(n_before)), *drawn.weights)
            yield SlotExample((*drawn.prompt, *drawn.target), weights, together(read))

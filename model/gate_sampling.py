"""Samples for the gate: the steps of one target at which model and memory name different tokens.

Owns one teacher-forced pass and what is read off each step of it. Prompts and memories come from
`hef_lsp.training.gate_samples`; fitting is `model.gate_fitting`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from model.exact_memory import ExactMemory, Match
from model.gate_fitting import GateSample
from model.interpolation import features_of
from model.loading import LoadedModel


def gate_samples_of(
    loaded: LoadedModel, prompt: Sequence[int], target: Sequence[int], memory: ExactMemory
) -> Iterator[GateSample]:
    """Steps of `target` after `prompt` where the two differ and one of them is right."""
    ids = [*prompt, *target]
    with torch.inference_mode():
        inputs = torch.tensor([ids], device=loaded.model.device)
        logits = loaded.model(input_ids=inputs, logits_to_keep=len(target) + 1).logits[0, :-1]
    log_probs = logits.float().cpu().log_softmax(-1)
    for step, right in enumerate(target):
        match = memory.match(ids[: len(prompt) + step])
        sample = None if match is None else _sample(match, log_probs[step], right)
        if sample is not None:
            yield sample


def _sample(match: Match, log_probs: Tensor, right: int) -> GateSample | None:
    own, other = int(log_probs.argmax()), match.candidates[0].token_id
    if own == other or right not in (own, other):
        return None
    shares = {candidate.token_id: candidate.count / match.support for candidate in match.candidates}
    return GateSample(
        tuple(features_of(match, log_probs)),
        float(log_probs[own].exp()),
        float(log_probs[other].exp()),
        shares[other],
        shares.get(own, 0.0),
        right == other,
    )

"""Samples for the gate: each step of a line that was written, with the candidates for it.

Owns one teacher-forced pass and what is read off each step of it. Prompts and memories come from
`hef_lsp.training.gate_samples`; fitting is `model.gate_fitting`.
"""

from __future__ import annotations

from model.candidates import CandidateReader
from model.gate_fitting import GateSample
from model.generator import HfGenerator
from model.protocols import Prompt

MOST_TOKENS = 64


def gate_samples_of(generator: HfGenerator, prompt: Prompt, line: str) -> list[GateSample]:
    """The steps of `line` after `prompt`, the one that ends it included, or its first `MOST_TOKENS`."""
    assert prompt.memory is not None
    read = generator.read_along(prompt, line + "\n")
    reader = CandidateReader(prompt.memory, generator.texts, read.context_ids)
    whole, n_chars, samples = len(read.healed + line), 0, list[GateSample]()
    for token, logits in zip(read.token_ids[:MOST_TOKENS], read.logits, strict=False):
        candidates = reader.candidates(logits.log_softmax(0))
        ended = n_chars >= whole
        right = generator.texts.ends_line[candidates.ids] if ended else candidates.ids == token
        samples.append(GateSample(candidates.features, right))
        if ended:
            break
        reader.push(token)
        n_chars += generator.texts.n_chars[token]
    return samples

"""Samples for the gate: each step of lines that were written, with the candidates for it.

Owns one teacher-forced pass and what is read off each step of it. Prompts and memories come from
`hef_lsp.training.gate_samples`; fitting is `model.gate_fitting`.
"""

from __future__ import annotations

import torch

from model.candidates import CandidateReader, Candidates
from model.gate_fitting import GateSample
from model.generator import HfGenerator
from model.protocols import BoolArray, Prompt
from model.scores import Distribution, scores_of
from model.tokenization import TextStream

MOST_TOKENS = 128


def gate_samples_of(generator: HfGenerator, prompt: Prompt, text: str) -> list[list[GateSample]]:
    """The steps of each line of `text`, which follows `prompt`, as far as `MOST_TOKENS` reach.

    The last step of a line is right with whatever ends it. The token that does so begins the next line as
    well: there it has to be the very one, for it holds the indentation.
    """
    assert prompt.memory is not None
    read = generator.read_along(prompt, text + "\n")
    reader = CandidateReader(
        prompt.memory, generator.texts, read.context_ids, read.healed, prompt.n_told, prompt.told_ids
    )
    written, place, stream = read.healed + text + "\n", 0, TextStream(generator.tokenizer)
    lines: list[list[GateSample]] = [[]]
    for token, logits in zip(read.token_ids[:MOST_TOKENS], read.logits, strict=False):
        said = Distribution.of(scores_of(logits))
        candidates = reader.candidates(said)
        if place >= len(read.healed) and written[place] == "\n":
            ends = generator.texts.ends_line[candidates.ids]
            lines[-1].append(_sample(candidates, ends))
            if place == len(written) - 1:
                return lines
            reader.begin_line()
            candidates = reader.candidates(said)
            lines.append([])
        lines[-1].append(_sample(candidates, candidates.ids == token))
        reader.push(token)
        place += len(stream.push(token))
    return lines[:-1]


def _sample(candidates: Candidates, right: BoolArray) -> GateSample:
    return GateSample(torch.from_numpy(candidates.features), torch.from_numpy(right))

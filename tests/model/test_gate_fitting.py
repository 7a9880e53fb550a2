"""Fitting: the gate learns which candidates were right, and its figures are counted as they should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from gate_rig import NEVER, gate_of
from tiny_models import load_tiny_model

from model import gate_fitting
from model.candidates import FEATURES
from model.exact_memory import Candidate, Match, TrackRecord
from model.gate_fitting import GateSample, figures_of, fit_gate
from model.gate_sampling import gate_samples_of
from model.generator import HfGenerator
from model.protocols import Prompt


def step(right: int, n: int = 3, **features: Sequence[float]) -> GateSample:
    """A step of `n` candidates, the one of number `right` right; features by name, a value for each."""
    rows = torch.zeros(n, len(FEATURES))
    rows[:, FEATURES.index("log_prob")] = torch.linspace(-0.1, -1.0, n)
    for name, values in features.items():
        rows[:, FEATURES.index(name)] = torch.tensor(values)
    return GateSample(rows, torch.arange(n) == right)


TRUSTED = [step(1, first_0=(0, 1, 0), long_hits=(0.9, 0.9, 0.9))]
MISLED = [step(0, first_0=(0, 1, 0), long_hits=(0.1, 0.1, 0.1))]


def test_a_gate_learns_when_the_memory_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_fitting, "LINES_A_STEP", 8)
    lines = [TRUSTED, MISLED] * 60
    weights = fit_gate(lines)
    figures = figures_of(weights, [TRUSTED, MISLED])
    assert (figures.lines_model, figures.lines_gate) == (0.5, 1.0)


def test_the_same_lines_and_seed_give_the_same_gate() -> None:
    one, other, third = (fit_gate([TRUSTED, MISLED], seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.hidden, other.hidden) and torch.equal(one.out, other.out)
    assert not torch.equal(one.hidden, third.hidden)


def test_figures_count_steps_and_whole_lines() -> None:
    lines = [[step(0), step(0)], [step(0), step(1)], [step(1, n=2), step(2)], [step(0, n=1)]]
    figures = figures_of(NEVER.weights, lines)
    assert (figures.n_lines, figures.n_steps) == (4, 7)
    assert figures.steps_model == figures.steps_gate == round(4 / 7, 4)
    assert figures.lines_model == figures.lines_gate == 0.5


def test_a_padded_candidate_is_never_the_best() -> None:
    """A short step beside a long one, under a gate that scores everything below zero."""
    down = gate_of(trust=0.0, best_prob=-9.0)
    lines = [[step(0, n=1, best_prob=(1.0,))], [step(2, n=5)]]
    assert figures_of(down.weights, lines).lines_gate == 0.5


@pytest.mark.parametrize(
    "lines", [[], [[]], [[GateSample(torch.zeros(2, len(FEATURES)), torch.zeros(2) > 0)]]]
)
def test_without_a_right_candidate_there_is_nothing_to_learn(lines: list[list[GateSample]]) -> None:
    with pytest.raises(ValueError, match="the gate needs lines"):
        fit_gate(lines)


class _Knows:
    """After any words, the next token of a line that it knows by heart."""

    record = TrackRecord()

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = list(ids)

    def match(self, context: Sequence[int]) -> Match | None:
        return next(iter(self.matches(context)), None)

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        for place in range(len(self._ids) - 1):
            if context[-1] == self._ids[place]:
                return (Match(1, 1, (Candidate(self._ids[place + 1], 1, 0, 0.5),)),)
        return ()


def test_samples_are_the_steps_of_the_line_to_its_end(tmp_path: Path) -> None:
    generator = HfGenerator(load_tiny_model(tmp_path / "tiny"))
    line = "    value = add(first, second)"
    ids = generator.tokenizer.encode("\n" + line + "\n")
    prompt = Prompt(tuple(generator.tokenizer.encode("import os\n")), memory=_Knows(ids))
    samples = gate_samples_of(generator, prompt, line)
    # From the healed line end to the one that ends the line.
    assert len(samples) == len(ids)
    named = [bool(sample.right.any()) for sample in samples]
    assert all(named[1:])  # the first is not after a word of the line
    assert all(sample.features.shape == (len(sample.right), len(FEATURES)) for sample in samples)
    chars = [float(sample.features[0, FEATURES.index("n_chars")]) for sample in samples]
    assert chars[0] == 0.0 and chars == sorted(chars) and chars[-1] == pytest.approx(len("\n" + line) / 100)


def test_reading_along_gives_the_logits_of_decoding(tmp_path: Path) -> None:
    generator = HfGenerator(load_tiny_model(tmp_path / "tiny"))
    ids = tuple(generator.tokenizer.encode("for name in names:\n    print(na"))
    read = generator.read_along(Prompt(ids), "me)\n")
    assert generator.tokenizer.decode(read.token_ids) == read.healed + "me)\n"
    model = generator._loaded.model
    whole = torch.tensor([[*read.context_ids, *read.token_ids]])
    with torch.inference_mode():
        expected = model(input_ids=whole).logits[0, len(read.context_ids) - 1 : -1]
    assert torch.allclose(read.logits, expected, atol=1e-4)
    again = generator.read_along(Prompt(ids), "me)\n")
    assert torch.allclose(again.logits, read.logits, atol=1e-5)
    with pytest.raises(ValueError, match="tokens to read along"):
        generator.read_along(Prompt(ids), "x y " * 600)

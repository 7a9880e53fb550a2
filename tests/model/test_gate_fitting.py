"""Fitting: the gate learns which candidates were right, and its figures are counted as they should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from gate_rig import NEVER, gate_of
from tiny_models import load_tiny_model

from model import gate_fitting, gate_sampling
from model.candidates import FEATURES
from model.exact_memory import Candidate, Kin, Match, TrackRecord
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


def test_going_on_begins_where_the_earlier_fit_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a step it scores as before, whatever a feature says that the earlier fit did not know."""
    monkeypatch.setattr(gate_fitting, "FURTHER_EPOCHS", 0)
    earlier = gate_of(trust=1.5, seed=2, first_0=0.7).weights
    begun = fit_gate([TRUSTED], n_hidden=5, start=earlier)
    rows = torch.randn(6, len(FEATURES), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(begun.scores(rows), earlier.scores(rows), atol=1e-5)
    assert len(begun.bias) == len(earlier.bias) + 5


def test_going_on_learns_a_feature_that_was_not_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_fitting, "LINES_A_STEP", 8)
    lines = [[step(1, kin_vote=(0.1, 0.9, 0))], [step(0, kin_vote=(0.9, 0.1, 0))]] * 60
    weights = fit_gate(lines, start=NEVER.weights)
    assert (figures_of(NEVER.weights, lines).lines_gate, figures_of(weights, lines).lines_gate) == (0.5, 1.0)


def test_whole_lines_count_beside_steps() -> None:
    """Two steps of one line, and a line that no gate can get right; against the plain formula."""
    lines = [[step(0), step(1)], [step(0), step(3)]]
    data = gate_fitting._Padded.of(lines)
    loss = gate_fitting._loss(NEVER.weights, data, torch.arange(4))
    scores = torch.linspace(-0.1, -1.0, 3) * 5 * float(NEVER.weights.trust) / 5
    nats = -scores.log_softmax(0)
    mean = (nats[0] + nats[1] + nats[0]) / 3
    assert float(loss) == pytest.approx(float(0.5 * mean - 1.5 * (-(nats[0] + nats[1])).exp()))


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
    """After any word, all that ever followed it in a text that it knows by heart."""

    record = TrackRecord()

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = list(ids)

    def match(self, context: Sequence[int]) -> Match | None:
        return next(iter(self.matches(context)), None)

    def kin(self, context: Sequence[int]) -> tuple[Kin, ...]:
        return ()

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        places = [n + 1 for n, token in enumerate(self._ids[:-1]) if token == context[-1]]
        followers = dict.fromkeys(self._ids[place] for place in places)
        named = tuple(Candidate(token, 1, 0, 0.5) for token in followers)
        return (Match(1, len(named), named),) if named else ()


def test_samples_are_the_steps_of_each_line_to_its_end(tmp_path: Path) -> None:
    generator = HfGenerator(load_tiny_model(tmp_path / "tiny"))
    first, second = "    value = add(first, second)", "    return value"
    ids = generator.tokenizer.encode(f"\n{first}\n{second}\n")
    prompt = Prompt(tuple(generator.tokenizer.encode("import os\n")), memory=_Knows(ids))
    lines = gate_samples_of(generator, prompt, f"{first}\n{second}")
    # From the healed line end to the one that ends the line, which begins the next.
    assert len(lines) == 2 and sum(map(len, lines)) == len(ids) + 1
    for written, samples in zip((first, second), lines, strict=True):
        assert all(sample.features.shape == (len(sample.right), len(FEATURES)) for sample in samples)
        chars = [float(sample.features[0, FEATURES.index("column")]) for sample in samples]
        assert chars[0] == 0.0 and chars[-1] == pytest.approx(len("\n" + written) / 100)
        assert all(bool(sample.right.any()) for sample in samples[1:])
    ends, begins = lines[0][-1], lines[1][0]
    assert len(ends.right) == len(begins.right) and ends.right.sum() >= begins.right.sum()


def test_characters_of_several_tokens_are_counted_as_text(tmp_path: Path) -> None:
    generator = HfGenerator(load_tiny_model(tmp_path / "tiny"))
    prompt = Prompt(tuple(generator.tokenizer.encode("import os\n")), memory=_Knows([]))
    lines = gate_samples_of(generator, prompt, "x = '東京'\ny = 2")
    assert len(lines) == 2 and float(lines[1][0].features[0, FEATURES.index("column")]) == 0.0


def test_lines_past_the_limit_are_left_out_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = HfGenerator(load_tiny_model(tmp_path / "tiny"))
    prompt = Prompt(tuple(generator.tokenizer.encode("import os\n")), memory=_Knows([]))
    monkeypatch.setattr(gate_sampling, "MOST_TOKENS", 12)
    assert len(gate_samples_of(generator, prompt, "x = 1\ny = 2\nz = compute(x, y)")) < 3


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

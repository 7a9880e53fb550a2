"""The memory's share of each step: probabilities add up, the gate decides, nothing else changes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny_models import load_tiny_model

from model.errors import ModelCorrupt
from model.exact_memory import Candidate, Match
from model.gate_fitting import GateSample, fit_gate
from model.generator import HfGenerator
from model.interpolation import FEATURES, GATES_FOLDER, Gate, Interpolation, gate_for, load_gate
from model.protocols import NeverCancelled, Prompt, StopRule

ALWAYS = Gate((30.0, *(0.0 for _ in FEATURES[1:])))
NEVER = Gate((-30.0, *(0.0 for _ in FEATURES[1:])))
HALF = Gate((0.0,) * len(FEATURES))


class Says:
    """Answers every context with one match; remembers what it was asked."""

    def __init__(self, *candidates: tuple[int, int], length: int = 5) -> None:
        self.asked: list[list[int]] = []
        self._match = Match(
            length,
            sum(count for _, count in candidates),
            tuple(Candidate(token, count, False, 0.5, (token,)) for token, count in candidates),
        )

    def match(self, context: Sequence[int], most: int | None = None) -> Match | None:
        self.asked.append(list(context))
        return self._match


class SaysNothing:
    def match(self, context: Sequence[int], most: int | None = None) -> Match | None:
        return None


def test_the_mixture_is_the_formula_and_adds_up_to_one() -> None:
    logits = torch.tensor([2.0, 0.0, -1.0, 0.5])
    mixed = Interpolation(Says((2, 3), (1, 1)), HALF, [9]).mixed(logits)
    expected = 0.5 * logits.softmax(0) + 0.5 * torch.tensor([0.0, 0.25, 0.75, 0.0])
    assert torch.allclose(mixed.exp(), expected, atol=1e-6)
    assert math.isclose(float(mixed.exp().sum()), 1.0, abs_tol=1e-5)


@pytest.mark.parametrize("memory", [SaysNothing(), Says((2, 1))])
def test_without_a_match_or_without_trust_the_model_speaks_alone(memory: Says | SaysNothing) -> None:
    logits = torch.tensor([2.0, 0.0, -1.0, 0.5])
    mixed = Interpolation(memory, NEVER, [9]).mixed(logits)
    assert torch.allclose(mixed, logits.log_softmax(0), atol=1e-5)


def test_full_trust_follows_the_memory() -> None:
    mixed = Interpolation(Says((2, 1)), ALWAYS, [9]).mixed(torch.tensor([50.0, 0.0, -1.0, 0.5]))
    assert int(mixed.argmax()) == 2


def test_chosen_tokens_become_context_and_old_ones_are_forgotten() -> None:
    memory = Says((2, 1))
    interpolation = Interpolation(memory, HALF, range(40))
    interpolation.mixed(torch.zeros(4))
    interpolation.push(3)
    interpolation.mixed(torch.zeros(4))
    assert memory.asked == [list(range(24, 40)), [*range(25, 40), 3]]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> HfGenerator:
    return HfGenerator(load_tiny_model(tmp_path_factory.mktemp("tiny")), ALWAYS)


def test_a_generator_copies_what_a_trusted_memory_says(generator: HfGenerator) -> None:
    ids = generator.tokenizer.encode("for name in names:\n    print(name")
    said = generator.tokenizer.encode("abc")[0]
    plain = generator.generate(Prompt(tuple(ids)), StopRule(3), NeverCancelled())
    prompt = Prompt(tuple(ids), memory=Says((said, 1)))
    copied = generator.generate(prompt, StopRule(3), NeverCancelled())
    assert copied.token_ids[-1] == said
    assert copied.token_ids != plain.token_ids


def test_a_generator_without_a_gate_never_asks(tmp_path: Path) -> None:
    memory = Says((5, 1))
    generator = HfGenerator(load_tiny_model(tmp_path / "tiny"))
    generator.generate(Prompt((10, 11, 12), memory=memory), StopRule(3), NeverCancelled())
    assert memory.asked == []


def test_every_shipped_gate_can_be_read_and_says_where_it_is_from() -> None:
    paths = sorted(GATES_FOLDER.glob("*.json"))
    assert "default" in {path.stem for path in paths}
    for path in paths:
        assert load_gate(path).provenance["samples"] > 1000


def test_an_unknown_generator_gets_the_default_gate() -> None:
    assert gate_for("no-such-model") == gate_for("") == gate_for("default")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format_version": 9}', json.dumps({"format_version": 1, "weights": {}})]
)
def test_a_spoilt_gate_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "gate.json").write_text(content)
    with pytest.raises(ModelCorrupt, match="is no gate of this version"):
        load_gate(tmp_path / "gate.json")


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Gate((math.nan,) * len(FEATURES))


def _sample(length: float, memory_right: bool) -> GateSample:
    features = (1.0, length, *(0.0 for _ in FEATURES[2:]))
    return GateSample(features, 0.6, 0.1, 1.0, 0.0, memory_right)


def test_a_gate_learns_to_trust_what_was_right() -> None:
    samples = [_sample(1.0, True)] * 50 + [_sample(0.1, False)] * 50
    fit = fit_gate(samples)
    gate = Gate(fit.weights)
    assert fit.right == 1.0
    assert gate.weight(samples[0].features) > 0.5 > gate.weight(samples[-1].features)


def test_caution_makes_a_gate_timid() -> None:
    samples = [_sample(1.0, True)] * 50 + [_sample(1.0, False)] * 50
    weights = [Gate(fit_gate(samples, caution).weights).weight(samples[0].features) for caution in (1, 4)]
    assert weights[0] > weights[1]


def test_a_gate_cannot_be_fitted_to_one_kind_of_case() -> None:
    with pytest.raises(ValueError, match="where the memory is right and steps where the model is"):
        fit_gate([_sample(1.0, True)])

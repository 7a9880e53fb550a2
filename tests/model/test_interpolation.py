"""The mixture: it adds up, the gate decides among candidates, the rest keeps its proportions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from gate_rig import ALWAYS, EITHER, NEVER
from tiny_models import load_tiny_model

from model.candidates import CandidateReader
from model.exact_memory import Candidate, Kin, Match, TrackRecord
from model.gate import Gate
from model.generator import HfGenerator
from model.interpolation import LEAST_SHARE, Interpolation
from model.protocols import NeverCancelled, Prompt, StopRule
from model.scores import Distribution
from model.token_texts import TokenTexts

LOGITS = torch.randn(40, generator=torch.Generator().manual_seed(0)) * 3
TEXTS = TokenTexts(np.zeros(40, dtype=np.bool_), [1] * 40)


class Says:
    """Answers every context with one match; remembers what it was asked."""

    record = TrackRecord()

    def __init__(self, *candidates: tuple[int, int], length: int = 5) -> None:
        self.asked: list[list[int]] = []
        support = sum(count for _, count in candidates)
        named = tuple(Candidate(token, count, 0, 0.5, (token,)) for token, count in candidates)
        self._matches = (Match(length, support, named),) if named else ()

    def match(self, context: Sequence[int]) -> Match | None:
        self.asked.append(list(context))
        return self._matches[0] if self._matches else None

    def kin(self, context: Sequence[int]) -> tuple[Kin, ...]:
        return ()

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        self.asked.append(list(context))
        return self._matches


def mixed(memory: Says, gate: Gate, logits: torch.Tensor = LOGITS) -> torch.Tensor:
    return torch.from_numpy(Interpolation(CandidateReader(memory, TEXTS, [9]), gate).mixed(logits))


@pytest.mark.parametrize("gate", [ALWAYS, NEVER, EITHER])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_it_adds_up_to_one_and_leaves_the_rest_its_proportions(gate: Gate, scale: float) -> None:
    log_probs = mixed(Says((2, 3), (30, 1)), gate, LOGITS * scale)
    assert float(log_probs.exp().sum()) == pytest.approx(1.0, abs=1e-4)
    named = {*LOGITS.topk(5).indices.tolist(), 2, 30} if scale else set(range(40))
    rest = [token for token in range(40) if token not in named]
    plain = (LOGITS * scale).log_softmax(0)
    assert torch.allclose(log_probs[rest].diff(), plain[rest].diff(), atol=1e-3)


def test_candidates_share_as_the_gate_scores_them() -> None:
    interpolation = Interpolation(CandidateReader(Says((2, 3), (30, 1)), TEXTS, [9]), EITHER)
    candidates = interpolation._reader.candidates(Distribution.of(LOGITS.numpy()))
    probs = np.exp(interpolation.mixed(LOGITS))[candidates.ids]
    expected = EITHER.weights.scores(torch.from_numpy(candidates.features)).softmax(0)
    assert (probs / probs.sum()).tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert float(probs.sum()) >= LEAST_SHARE - 1e-5


def test_without_trust_the_models_best_stays_the_best() -> None:
    assert int(mixed(Says((2, 1)), NEVER).argmax()) == int(LOGITS.argmax())
    assert int(mixed(Says(), NEVER).argmax()) == int(LOGITS.argmax())


def test_full_trust_follows_the_memory() -> None:
    sure = torch.zeros(40)
    sure[7] = 50.0
    assert int(mixed(Says((2, 1)), ALWAYS, sure).argmax()) == 2


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

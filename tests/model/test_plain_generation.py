"""The rival says what our generator says without its tricks, and stops where a line ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import load_tiny_model

from model.generator import HfGenerator
from model.plain_generation import PlainGenerator
from model.protocols import NeverCancelled, Prompt, StopMode, StopReason, StopRule
from model.runtime.plan import emptied, plan_of


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> HfGenerator:
    return HfGenerator(load_tiny_model(tmp_path_factory.mktemp("tiny")))


def greedy(generator: HfGenerator, ids: list[int], n: int) -> list[int]:
    """One token after the other, the whole text read each time."""
    ids, new = list(ids), list[int]()
    with torch.inference_mode():
        for _ in range(n):
            new.append(
                int(generator.loaded.model(input_ids=torch.tensor([ids + new])).logits[0, -1].argmax())
            )
            if new[-1] in generator.tokenizer.eos_ids:
                break
    return new


def test_it_decodes_greedily(generator: HfGenerator) -> None:
    ids = generator.tokenizer.encode("for name in names:\n    print")
    said = PlainGenerator(generator).generate(
        Prompt(tuple(ids)), StopRule(12, StopMode.BLOCK), NeverCancelled()
    )
    assert list(said.token_ids) == greedy(generator, ids, 12)
    assert said.n_prefilled == len(ids) and said.stop_reason is StopReason.LIMIT


def test_it_stops_at_the_end_of_a_line(generator: HfGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    said = generator.tokenizer.encode("\nab\ncd\n")

    def generate(ids: torch.Tensor, stopping_criteria: list[object], **_: object) -> torch.Tensor:
        for token in said:
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
            if any(bool(stop(ids, None)) for stop in stopping_criteria):  # type: ignore[operator]
                break
        return ids

    monkeypatch.setattr(generator.loaded.model, "generate", generate)
    plain = PlainGenerator(generator).generate(Prompt((10, 11)), StopRule(30), NeverCancelled())
    assert plain.text == "\nab" and plain.stop_reason is StopReason.LINE
    assert len(plain.token_ids) < len(said)


def test_it_takes_the_place_of_the_generator(generator: HfGenerator, tmp_path: Path) -> None:
    plain = PlainGenerator(generator)
    plain.forget()
    for name in ("model_id", "hidden_size", "context_window", "fim", "tokenizer"):
        assert getattr(plain, name) == getattr(generator, name)


def test_a_module_that_was_given_up_is_no_rival(tmp_path: Path) -> None:
    """Else every answer fails at once, and counts as a quick one."""
    loaded = load_tiny_model(tmp_path)
    generator = HfGenerator(loaded)
    emptied(loaded.model, plan_of(loaded.model))
    with pytest.raises(ValueError, match="was given up; load it with keeps_module"):
        PlainGenerator(generator)

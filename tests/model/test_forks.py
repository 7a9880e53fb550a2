"""Alternatives: where an answer might have gone on otherwise, and how it would have gone on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gate_rig import EITHER
from test_drafting import Remembers
from tiny_models import load_tiny_model

from model.choosing import RUNNERS_UP
from model.generator import HfGenerator
from model.healing import Vocabulary
from model.loading import LoadedModel
from model.protocols import Fork, Generation, NeverCancelled, Prompt, StopMode, StopRule
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime

CODE = "def add(first, second):\n    return first + second\n\n\nclass Counter:\n    def __init__(self):\n" * 3
N_TOKENS = 6


@pytest.fixture(params=["llama", "qwen2"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> LoadedModel:
    return load_tiny_model(tmp_path / request.param, request.param)


def ids_of(loaded: LoadedModel, text: str = CODE) -> tuple[int, ...]:
    """After which nothing is spelt again."""
    mark = loaded.tokenizer.special_id("<|fim_middle|>")
    assert mark is not None
    return (*loaded.tokenizer.encode(text), mark)


def answer(
    generator: HfGenerator, prompt: Prompt, begin: Fork | None = None, n_tokens: int = N_TOKENS
) -> Generation:
    rule = StopRule(n_tokens, StopMode.BLOCK, "x\n", begin=begin, wants_forks=True)
    return generator.generate(prompt, rule, NeverCancelled())


def log_probs(loaded: LoadedModel, ids: tuple[int, ...], said: tuple[int, ...]) -> torch.Tensor:
    """``[len(said), V]`` by the plain model, before each of the tokens."""
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([[*ids, *said]])).logits[0].log_softmax(-1)
    return logits[len(ids) - 1 : -1]


def test_forks_are_the_runners_up_of_each_token_by_the_likelihood_of_all_up_to_there(
    loaded: LoadedModel,
) -> None:
    ids = ids_of(loaded)
    got = answer(HfGenerator(loaded), Prompt(ids))
    wanted = dict[tuple[int, ...], float]()
    before, eos = 0.0, loaded.tokenizer.eos_ids
    for place, scores in enumerate(log_probs(loaded, ids, got.token_ids)):
        best = scores.topk(1 + RUNNERS_UP)
        assert int(best.indices[0]) == got.token_ids[place]
        for token, logprob in zip(best.indices[1:].tolist(), best.values[1:].tolist(), strict=True):
            if token not in eos:
                wanted[(*got.token_ids[:place], token)] = before + logprob
        before += float(best.values[0])
    assert {fork.token_ids for fork in got.forks} == set(wanted)
    for fork in got.forks:
        assert fork.logprob == pytest.approx(wanted[fork.token_ids], abs=1e-3)


def test_an_answer_begins_as_it_is_told_and_goes_on_greedily(loaded: LoadedModel) -> None:
    ids, generator = ids_of(loaded), HfGenerator(loaded)
    first = answer(generator, Prompt(ids))
    for fork in first.forks:
        got = answer(generator, Prompt(ids), fork)
        n_given = len(fork.token_ids)
        assert got.token_ids[:n_given] == fork.token_ids
        scores = log_probs(loaded, ids, got.token_ids)
        assert list(got.token_ids[n_given:]) == scores[n_given:].argmax(-1).tolist()
        of_all = scores.gather(1, torch.tensor(got.token_ids)[:, None]).sum()
        assert got.mean_logprob * len(got.token_ids) == pytest.approx(float(of_all), abs=1e-3)
        assert all(len(deeper.token_ids) > n_given for deeper in got.forks)
        assert all(deeper.token_ids[:n_given] == fork.token_ids for deeper in got.forks)
        assert all(deeper.logprob <= fork.logprob + 1e-3 for deeper in got.forks)


def test_without_being_asked_nothing_is_said_of_forks(loaded: LoadedModel) -> None:
    prompt, generator = Prompt(ids_of(loaded)), HfGenerator(loaded)
    wanted = answer(generator, prompt)
    got = generator.generate(prompt, StopRule(N_TOKENS, StopMode.BLOCK, "x\n"), NeverCancelled())
    assert (got.token_ids, got.forks) == (wanted.token_ids, ())


def test_after_an_alternative_the_answer_is_what_it_was(loaded: LoadedModel) -> None:
    prompt, generator = Prompt(ids_of(loaded)), HfGenerator(loaded)
    first = answer(generator, prompt)
    answer(generator, prompt, first.forks[0])
    assert answer(generator, prompt).token_ids == first.token_ids


def test_alternatives_spell_the_last_word_and_then_differ(loaded: LoadedModel) -> None:
    generator = HfGenerator(loaded)
    prompt = Prompt(tuple(generator.tokenizer.encode(CODE + "    ret")))
    _, spelt = Vocabulary(generator.tokenizer).tail(prompt.token_ids)
    first = answer(generator, prompt)
    texts = [generator.tokenizer.decode(fork.token_ids) for fork in first.forks]
    assert spelt and len(texts) > RUNNERS_UP
    for text in texts:
        assert text.startswith(spelt) and len(text) > len(spelt)
    got = [answer(generator, prompt, fork) for fork in first.forks]
    assert len({one.token_ids for one in (first, *got)}) == 1 + len(got)
    for one in got:
        assert generator.tokenizer.decode(one.token_ids).startswith(spelt + one.text)


def test_drafts_change_nothing_of_alternatives_and_save_passes(loaded: LoadedModel) -> None:
    source = torch.Generator().manual_seed(3)
    memory = Remembers(torch.randint(5, 300, (400,), generator=source).tolist())
    prompt = replace(Prompt(ids_of(loaded)), memory=memory)
    runtime = FastRuntime(loaded.model, Weights.PLAIN)
    drafting = HfGenerator(loaded, EITHER, runtime)
    plain = drafting.without_drafts()
    wanted, got = answer(plain, prompt), answer(drafting, prompt)
    assert [fork.token_ids for fork in got.forks] == [fork.token_ids for fork in wanted.forks]
    n_plain = n_drafted = 0
    for one, other in zip(wanted.forks, got.forks, strict=True):
        assert other.logprob == pytest.approx(one.logprob, abs=1e-3)
        begun, drafted = answer(plain, prompt, one), answer(drafting, prompt, one)
        assert begun.token_ids == drafted.token_ids and begun.text == drafted.text
        n_plain, n_drafted = n_plain + begun.n_forwards, n_drafted + drafted.n_forwards
    assert n_drafted < 0.8 * n_plain

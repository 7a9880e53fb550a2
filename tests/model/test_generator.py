"""The generator over small real models: the cache changes what it costs and never what it says."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import ManualCancel
from tiny_models import CONTEXT_WINDOW, HIDDEN_SIZE, load_tiny_model

from model.decoding import CPU_CHUNK
from model.errors import ModelTooLarge
from model.generator import HfGenerator
from model.healing import MOST_TOKENS_TAKEN_BACK, Vocabulary
from model.loading import LoadedModel
from model.protocols import (
    FloatArray,
    Generation,
    Generator,
    NeverCancelled,
    Prompt,
    StopMode,
    StopReason,
    StopRule,
)

CODE = "def add(first, second):\n    return first + second\n\n\nclass Counter:\n    def __init__(self):\n" * 3


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return load_tiny_model(tmp_path_factory.mktemp("model") / request.param, request.param)


@pytest.fixture
def generator(loaded: LoadedModel) -> HfGenerator:
    """A fresh generator, without a cache."""
    return HfGenerator(loaded)


def rule(n_tokens: int = 12, **others: Any) -> StopRule:
    """Blocks at the top level: a random model seldom ends one, so nearly all tokens are decoded."""
    return StopRule(max_tokens=n_tokens, mode=StopMode.BLOCK, prefix="x\n", **others)


def said(
    generator: HfGenerator, text: str, pseudo: FloatArray | None = None, n_tokens: int = 12, **others: Any
) -> Generation:
    prompt = Prompt(tuple(generator.tokenizer.encode(text)), pseudo)
    return generator.generate(prompt, rule(n_tokens, **others), NeverCancelled())


def plain_reference(
    loaded: LoadedModel, ids: list[int], pseudo: FloatArray | None, n_tokens: int
) -> list[int]:
    """Greedy decoding by a full forward pass for each token, without a cache.

    The prompt's last word is spelt again, by going through the whole vocabulary.
    """
    n_taken, spelt = Vocabulary(loaded.tokenizer).tail(ids)
    ids, new = ids[: len(ids) - n_taken], list[int]()
    embed = loaded.model.get_input_embeddings()
    texts = loaded.tokenizer.texts_of_ordinary_tokens()
    with torch.inference_mode():
        for _ in range(n_tokens):
            vectors = embed(torch.tensor([ids + new]))
            if pseudo is not None:
                vectors = torch.cat([torch.from_numpy(pseudo).unsqueeze(0), vectors], dim=1)
            logits = loaded.model(inputs_embeds=vectors, use_cache=False).logits[0, -1]
            if spelt:
                fitting = [i for i, text in texts.items() if text and spelt.startswith(text)]
                fitting += [i for i, text in texts.items() if text.startswith(spelt)]
                new.append(max(fitting, key=lambda i: float(logits[i])))
                spelt = spelt[len(texts[new[-1]]) :]
            else:
                new.append(int(logits.argmax()))
    return new


def n_read(generator: HfGenerator, text: str) -> int:
    """How many tokens of `text` are read as they are."""
    ids = generator.tokenizer.encode(text)
    return len(ids) - Vocabulary(generator.tokenizer).tail(ids)[0]


def ending_in_a_mark(generator: HfGenerator, text: str, n_tokens: int | None = None) -> tuple[int, ...]:
    """Ids after which nothing is spelt again, as at the end of a FIM prompt."""
    mark = generator.tokenizer.special_id("<|fim_middle|>")
    assert mark is not None
    return (*generator.tokenizer.encode(text)[:n_tokens], mark)


def rows(seed: int, n_rows: int = 6) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n_rows, HIDDEN_SIZE)).astype(np.float32)


def test_it_is_a_generator(generator: HfGenerator) -> None:
    as_protocol: Generator = generator
    assert as_protocol.hidden_size == HIDDEN_SIZE
    assert as_protocol.context_window == CONTEXT_WINDOW
    assert as_protocol.fim is None and as_protocol.model_id.startswith("tiny-")


@pytest.mark.parametrize("pseudo", [None, rows(1)], ids=["text", "pseudo-tokens"])
def test_cached_decode_equals_a_full_forward_token_for_token(
    loaded: LoadedModel, generator: HfGenerator, pseudo: FloatArray | None
) -> None:
    for text in ("import os", CODE, CODE + "    x", CODE[:60]):  # grows, goes on, shrinks
        got = said(generator, text, pseudo)
        ids = generator.tokenizer.encode(text)
        assert list(got.token_ids) == plain_reference(loaded, ids, pseudo, len(got.token_ids))
        assert len(got.token_ids) > 0


def test_the_mean_log_probability_is_that_of_the_full_forward(
    loaded: LoadedModel, generator: HfGenerator
) -> None:
    ids = list(ending_in_a_mark(generator, CODE))
    got = generator.generate(Prompt(tuple(ids)), rule(4), NeverCancelled())
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([ids + list(got.token_ids)])).logits[0].log_softmax(-1)
    expected = [float(logits[len(ids) + i - 1, token]) for i, token in enumerate(got.token_ids)]
    assert got.mean_logprob == pytest.approx(sum(expected) / len(expected), abs=1e-4)


def test_typing_a_letter_prefills_few_tokens(generator: HfGenerator) -> None:
    first = said(generator, CODE)
    again = said(generator, CODE + "s")
    assert (first.n_reused, first.n_prefilled) == (0, n_read(generator, CODE))
    assert again.n_prefilled <= 3
    assert again.n_reused + again.n_prefilled == n_read(generator, CODE + "s")


def test_accepting_the_text_reuses_what_was_generated(generator: HfGenerator) -> None:
    prompt = ending_in_a_mark(generator, CODE)
    first = generator.generate(Prompt(prompt), rule(), NeverCancelled())
    accepted = generator.generate(Prompt(prompt + first.token_ids), rule(), NeverCancelled())
    assert accepted.n_prefilled == 1
    assert accepted.n_reused >= len(prompt) + len(first.token_ids) - 1 - MOST_TOKENS_TAKEN_BACK


def test_the_same_prompt_again_costs_one_position(generator: HfGenerator) -> None:
    a, b = said(generator, CODE), said(generator, CODE)
    assert (a.text, a.token_ids) == (b.text, b.token_ids)
    assert b.n_prefilled == 1


@pytest.mark.parametrize("empty", [None, np.zeros((0, HIDDEN_SIZE), np.float32)])
def test_no_pseudo_tokens_is_the_plain_generator(generator: HfGenerator, empty: FloatArray | None) -> None:
    plain = said(HfGenerator(generator._loaded), CODE)
    got = said(generator, CODE, empty)
    assert (got.text, got.token_ids, got.mean_logprob) == (plain.text, plain.token_ids, plain.mean_logprob)


def test_pseudo_tokens_change_what_is_said(generator: HfGenerator) -> None:
    texts = {said(generator, CODE, pseudo).token_ids for pseudo in (None, rows(1), rows(2), rows(3))}
    assert len(texts) > 1


def test_pseudo_tokens_are_compared_by_content(generator: HfGenerator) -> None:
    said(generator, CODE, rows(1))
    same = said(generator, CODE, rows(1).copy())
    assert same.n_prefilled == 1
    changed = rows(1)
    changed[3, 0] += 1
    other = said(generator, CODE, changed)
    assert other.n_reused == 3
    fresh = said(HfGenerator(generator._loaded), CODE, changed)
    assert other.token_ids == fresh.token_ids


def test_pseudo_tokens_of_another_width_are_refused(generator: HfGenerator) -> None:
    with pytest.raises(ValueError, match=rf"pseudo-tokens are \(2, 7\), expected \[P, {HIDDEN_SIZE}\]"):
        said(generator, CODE, np.ones((2, 7), np.float32))


def test_too_many_pseudo_tokens_are_refused(generator: HfGenerator) -> None:
    with pytest.raises(ValueError, match=r"leave no room.*lower context\.pseudoTokens"):
        said(generator, CODE, np.ones((CONTEXT_WINDOW, HIDDEN_SIZE), np.float32))


@pytest.mark.parametrize("end", ["    ", "    ret", "x.", "    return first +", "\n"])
def test_the_spelt_word_is_no_part_of_the_text(generator: HfGenerator, end: str) -> None:
    """The prompt's last word is read as text and decoded again; only what comes after it is said."""
    pieces: list[str] = []
    ids = tuple(generator.tokenizer.encode(CODE + end))
    got = generator.generate(Prompt(ids), StopRule(20, prefix=CODE), NeverCancelled(), pieces.append)
    n_taken, spelt = Vocabulary(generator.tokenizer).tail(ids)
    decoded = generator.tokenizer.decode(got.token_ids)
    assert n_taken and decoded.startswith(spelt)
    assert decoded[len(spelt) :].startswith(got.text)
    assert "".join(pieces) == got.text


def test_what_streams_is_the_text(generator: HfGenerator) -> None:
    pieces: list[str] = []
    prompt = Prompt(tuple(generator.tokenizer.encode(CODE)))
    got = generator.generate(prompt, StopRule(30), NeverCancelled(), pieces.append)
    assert "".join(pieces) == got.text and "" not in pieces


def test_a_token_that_ends_the_text_is_not_said(loaded: LoadedModel) -> None:
    generator = HfGenerator(loaded)
    first, second, *_ = said(generator, CODE).token_ids
    loaded.tokenizer._eos_ids = frozenset({second})
    try:
        got = said(generator, CODE)
    finally:
        loaded.tokenizer._eos_ids = frozenset()
    assert got.token_ids == ((first,) if first != second else ())
    assert got.stop_reason is StopReason.END_OF_TEXT


def test_cancelled_before_any_token(generator: HfGenerator) -> None:
    cancel = ManualCancel()
    cancel.cancel()
    prompt = Prompt(tuple(generator.tokenizer.encode(CODE)))
    got = generator.generate(prompt, rule(), cancel)
    assert (got.text, got.token_ids, got.stop_reason) == ("", (), StopReason.CANCELLED)
    assert got.n_prefilled == 0


LONG = CODE * 5


@pytest.mark.parametrize("n_reads", [1, 2, 3, 5, 9])
def test_cancelled_midway_leaves_a_generator_as_good_as_new(loaded: LoadedModel, n_reads: int) -> None:
    """In the middle of prefill, between prefill and decoding, and between tokens."""
    generator = HfGenerator(loaded)
    prompt = Prompt(ending_in_a_mark(generator, LONG, 299))
    n_chunks = -(-len(prompt.token_ids) // CPU_CHUNK)
    assert n_chunks == 3
    got = generator.generate(prompt, rule(), ManualCancel(after_reads=n_reads))
    assert got.stop_reason is StopReason.CANCELLED
    assert len(got.token_ids) == max(0, n_reads - n_chunks)
    assert got.n_prefilled == min(len(prompt.token_ids), n_reads * CPU_CHUNK)
    again = generator.generate(prompt, rule(), NeverCancelled())
    fresh = HfGenerator(loaded).generate(prompt, rule(), NeverCancelled())
    assert (again.text, again.token_ids) == (fresh.text, fresh.token_ids)
    assert again.n_reused == min(n_reads * CPU_CHUNK, len(prompt.token_ids) - 1)


def test_no_token_is_computed_after_cancel(generator: HfGenerator) -> None:
    cancel, n_forwards = ManualCancel(), 0
    forward = generator._session._forward

    def counting(*args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal n_forwards
        n_forwards += 1
        if n_forwards == 4:
            cancel.cancel()
        return forward(*args, **kwargs)

    generator._session._forward = counting  # type: ignore[method-assign]
    prompt = Prompt(tuple(generator.tokenizer.encode(CODE[:100])))
    generator.generate(prompt, rule(), cancel)
    assert n_forwards == 4


def test_a_deadline_that_has_passed(generator: HfGenerator) -> None:
    got = said(generator, CODE, deadline_s=time.monotonic() - 1)
    assert (got.text, got.stop_reason, got.n_prefilled) == ("", StopReason.DEADLINE, 0)


class TickingClock:
    """A second passes with each look at it."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("deadline_s", [2.0, 5.0, 9.0])
def test_a_deadline_in_the_middle_keeps_what_was_said(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, deadline_s: float
) -> None:
    whole = said(HfGenerator(loaded), CODE[:60])
    monkeypatch.setattr("model.generator.time", TickingClock())
    generator = HfGenerator(loaded)
    got = said(generator, CODE[:60], deadline_s=deadline_s)
    assert got.stop_reason is StopReason.DEADLINE
    assert got.token_ids == whole.token_ids[: int(deadline_s) - 2]
    assert whole.text.startswith(got.text)


def failing(times: int, error: BaseException) -> Callable[..., None]:
    left = times

    def hook(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise error

    return hook


@pytest.mark.parametrize("after", [1, 2, 4])
def test_an_error_inside_the_model_leaves_a_generator_as_good_as_new(loaded: LoadedModel, after: int) -> None:
    """The last layer fails when the first has grown its cache already."""
    generator = HfGenerator(loaded)
    said(generator, CODE[:50])
    handle = loaded.model.model.layers[-1].register_forward_pre_hook(failing(after, RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        said(generator, CODE)
    handle.remove()
    assert said(generator, CODE).token_ids == said(HfGenerator(loaded), CODE).token_ids


def test_an_error_in_the_listener_leaves_a_generator_as_good_as_new(loaded: LoadedModel) -> None:
    generator = HfGenerator(loaded)

    def listener(text: str) -> None:
        raise KeyError(text)

    prompt = Prompt(tuple(generator.tokenizer.encode(CODE)))
    with pytest.raises(KeyError):
        generator.generate(prompt, rule(), NeverCancelled(), listener)
    assert said(generator, CODE).token_ids == said(HfGenerator(loaded), CODE).token_ids


def test_memory_that_runs_out_is_named(loaded: LoadedModel) -> None:
    generator = HfGenerator(loaded)
    error = torch.OutOfMemoryError("CUDA out of memory")
    handle = loaded.model.model.layers[0].register_forward_pre_hook(failing(1, error))
    with pytest.raises(ModelTooLarge, match=r"memory ran out.*lower context\.prefixTokens"):
        said(generator, CODE)
    handle.remove()
    assert said(generator, CODE).text == said(HfGenerator(loaded), CODE).text


def test_a_prompt_past_the_context_window_loses_its_left(loaded: LoadedModel, generator: HfGenerator) -> None:
    ids = generator.tokenizer.encode(CODE * 8)
    assert len(ids) > CONTEXT_WINDOW
    got = generator.generate(Prompt(tuple(ids)), rule(20), NeverCancelled())
    kept = ids[-(CONTEXT_WINDOW - 20) :]
    assert got.n_prefilled == len(kept) - Vocabulary(generator.tokenizer).tail(kept)[0]
    assert generator._session.n_positions <= CONTEXT_WINDOW
    assert list(got.token_ids) == plain_reference(loaded, kept, None, len(got.token_ids))


def test_more_new_tokens_than_the_window_holds(generator: HfGenerator) -> None:
    said(generator, CODE, n_tokens=10 * CONTEXT_WINDOW)
    assert generator._session.n_positions <= CONTEXT_WINDOW


def test_an_empty_prompt(generator: HfGenerator) -> None:
    assert said(generator, "").n_prefilled == 1


def test_the_family_s_own_first_tokens_come_before_everything(loaded: LoadedModel) -> None:
    """A model taught with `<s>` before each text must read it, and before the pseudo-tokens."""
    pseudo = rows(1)
    loaded.tokenizer.prefix_ids = (0,)
    try:
        generator = HfGenerator(loaded)
        assert generator.context_window == CONTEXT_WINDOW - 1
        text_only, with_rows = said(generator, CODE), said(generator, CODE, pseudo)
    finally:
        loaded.tokenizer.prefix_ids = ()
    ids = generator.tokenizer.encode(CODE)
    assert list(text_only.token_ids) == plain_reference(loaded, [0, *ids], None, len(text_only.token_ids))
    start = loaded.model.get_input_embeddings().weight[:1].detach().numpy()
    rows_after = np.concatenate([start, pseudo])
    assert list(with_rows.token_ids) == plain_reference(loaded, ids, rows_after, len(with_rows.token_ids))


def test_bfloat16_runs(tmp_path: Path) -> None:
    loaded = load_tiny_model(tmp_path / "m", dtype=torch.bfloat16)
    generator = HfGenerator(loaded)
    first = said(generator, CODE, rows(1))
    assert first.token_ids and said(generator, CODE, rows(1)).token_ids == first.token_ids
    assert first.mean_logprob <= 0


def test_letters_of_several_tokens_come_out_whole(loaded: LoadedModel) -> None:
    """A random model says bytes at random; no piece may end within a character."""
    generator = HfGenerator(loaded)
    pieces: list[str] = []
    prompt = Prompt(tuple(generator.tokenizer.encode("🎉é" * 9)))
    forks = generator.generate(prompt, StopRule(20, wants_forks=True), NeverCancelled()).forks
    assert len(forks) > 5
    for begin in (None, *forks):
        got = generator.generate(prompt, StopRule(20, begin=begin), NeverCancelled(), pieces.append)
        assert got.text.encode("utf-8", "strict").decode() == got.text

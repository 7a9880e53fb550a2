"""Drafts save passes and change nothing of what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes import ManualCancel
from gate_rig import ALWAYS, EITHER, NEVER
from tiny_models import load_tiny_model

from model.decoding import Halt, Inputs
from model.drafting import DraftingSession
from model.exact_memory import Candidate, Kin, Match, TrackRecord
from model.gate import Gate
from model.generator import HfGenerator
from model.loading import LoadedModel
from model.protocols import Generation, NeverCancelled, Prompt, StopMode, StopReason, StopRule
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.row_costs import MOST_ROWS

RULE = StopRule(24, StopMode.BLOCK)


class Remembers:
    """Knows one text: after each of its words the next ones, at a match of `length`.

    One of three and more tokens is in familiar surroundings, a shorter one at one place in four.
    """

    record = TrackRecord()

    def __init__(self, ids: Sequence[int], length: int = 9) -> None:
        self._ids, self._length = list(ids), length

    def kin(self, context: Sequence[int]) -> tuple[Kin, ...]:
        found = self.match(context)
        likeness = self._length / 16
        return tuple(
            Kin(one.token_id, likeness, likeness, likeness, 1.0, one.ahead)
            for one in (found.candidates if found and self._length > 2 else ())
        )

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        found = self.match(context)
        return () if found is None else (found,)

    def match(self, context: Sequence[int]) -> Match | None:
        places = [i + 1 for i, token in enumerate(self._ids[:-1]) if token == context[-1]]
        if not places:
            return None
        ahead = tuple(self._ids[places[-1] : places[-1] + 12])
        return Match(self._length, 1 if self._length > 2 else 4, (Candidate(ahead[0], 1, 0, 0.5, ahead),))


class Recites(Remembers):
    """Knows one text by heart: what follows the last three words."""

    def match(self, context: Sequence[int]) -> Match | None:
        known, last = self._ids, list(context[-3:])
        for end in range(3, len(known)):
            if known[end - 3 : end] == last:
                ahead = tuple(known[end : end + 12])
                return Match(9, 1, (Candidate(ahead[0], 1, 0, 0.5, ahead),))
        return None


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    return load_tiny_model(tmp_path / "tiny")


def generation(loaded: LoadedModel, gate: Gate, memory: Remembers, drafts: bool) -> Generation:
    """With drafts by our runtime, without them by a session that cannot verify; the same weights."""
    runtime = FastRuntime(loaded.model, Weights.PLAIN)
    session = runtime if drafts else _OneByOne(runtime)
    prompt = Prompt(tuple(loaded.tokenizer.encode("for name in names:\n    print(name)\n")), memory=memory)
    return HfGenerator(loaded, gate, session).generate(prompt, RULE, NeverCancelled())


class _OneByOne:
    """The runtime without its look ahead: the reference."""

    def __init__(self, runtime: FastRuntime) -> None:
        self._runtime = runtime
        self.clear, self.rewind = runtime.clear, runtime.rewind
        self.prefill, self.step = runtime.prefill, runtime.step

    @property
    def n_positions(self) -> int:
        return self._runtime.n_positions


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gate", [EITHER, NEVER, ALWAYS])
def test_drafted_decoding_says_what_undrafted_decoding_says(
    loaded: LoadedModel, gate: Gate, seed: int
) -> None:
    source = torch.Generator().manual_seed(seed)
    memory = Remembers(torch.randint(5, 300, (400,), generator=source).tolist())
    one_by_one = generation(loaded, gate, memory, drafts=False)
    drafted = generation(loaded, gate, memory, drafts=True)
    assert drafted.token_ids == one_by_one.token_ids
    assert drafted.text == one_by_one.text
    assert drafted.stop_reason == one_by_one.stop_reason


def test_right_drafts_save_passes(loaded: LoadedModel) -> None:
    plain = generation(loaded, NEVER, Remembers([]), drafts=False)
    assert len(plain.token_ids) > 8
    foreseen = generation(loaded, NEVER, Remembers(plain.token_ids), drafts=True)
    assert foreseen.token_ids == plain.token_ids
    assert foreseen.n_forwards < plain.n_forwards / 2


def test_an_unlikely_guess_is_not_read(loaded: LoadedModel) -> None:
    plain = generation(loaded, NEVER, Remembers([]), drafts=False)
    short = generation(loaded, NEVER, Remembers(plain.token_ids, length=1), drafts=True)
    assert short.n_forwards == plain.n_forwards


class _Foresees:
    def __init__(self, ahead: tuple[int, ...]) -> None:
        self._match = Match(9, 1, (Candidate(ahead[0], 1, 0, 0.5, ahead),))

    def known(self) -> tuple[tuple[Match, ...], tuple[Kin, ...]]:
        best = self._match.candidates[0]
        return (self._match,), (Kin(best.token_id, 0.9, 0.9, 0.5, 1.0, best.ahead),)


def test_after_a_wrong_draft_the_cache_holds_only_what_was_stepped(loaded: LoadedModel) -> None:
    runtime = FastRuntime(loaded.model, Weights.PLAIN)
    session = DraftingSession(runtime, _Foresees((50, 51, 52)))
    reference = FastRuntime(loaded.model, Weights.PLAIN)
    for token in (40, 50, 60, 61):
        assert torch.allclose(session.step(token), reference.step(token), atol=1e-4)
        assert session.n_positions == reference.n_positions
    assert session.n_forwards == 3  # 50 had been read with 40


class _Watched(FastRuntime):
    """Counts passes of either kind."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded.model, Weights.PLAIN)
        self.verified: list[int] = []
        self.prefilled = 0

    def verify(self, token_ids: Sequence[int]) -> torch.Tensor:
        self.verified.append(len(token_ids))
        return super().verify(token_ids)

    def prefill(self, inputs: Inputs, halt: Halt) -> torch.Tensor | StopReason:
        self.prefilled += 1
        return super().prefill(inputs, halt)


IDS = tuple(range(40, 70))


@pytest.mark.parametrize("n_left", [1, 3, 7])
def test_a_few_last_tokens_are_read_with_what_is_expected_after_them(
    loaded: LoadedModel, n_left: int
) -> None:
    runtime, reference = _Watched(loaded), FastRuntime(loaded.model, Weights.PLAIN)
    wanted = reference.prefill(Inputs((), None, IDS), lambda: None)
    assert isinstance(wanted, torch.Tensor)
    runtime.prefill(Inputs((), None, IDS[:-n_left]), lambda: None)
    session = DraftingSession(runtime, _Foresees((50, 51, 52, 53, 54, 55)))
    logits = session.prefill(Inputs((), None, IDS), lambda: None)
    assert isinstance(logits, torch.Tensor)
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)
    assert session.n_positions == len(IDS) < runtime.n_positions <= len(IDS) - n_left + MOST_ROWS
    assert (runtime.prefilled, len(runtime.verified), session.n_forwards) == (1, 1, 0)
    for token in (50, 99):  # as was expected, and not
        torch.testing.assert_close(session.step(token), reference.step(token), atol=1e-4, rtol=1e-4)
        assert session.n_positions == reference.n_positions
    assert session.n_forwards == 1


def test_many_left_tokens_and_slots_are_read_as_before(loaded: LoadedModel) -> None:
    runtime = _Watched(loaded)
    session = DraftingSession(runtime, _Foresees((50, 51, 52)))
    session.prefill(Inputs((), None, IDS), lambda: None)
    assert (runtime.prefilled, runtime.verified) == (1, [])
    rows = torch.zeros(2, loaded.hidden_size).numpy()
    runtime.clear()
    session.prefill(Inputs((), rows, IDS[:3]), lambda: None)
    assert (runtime.prefilled, runtime.verified) == (2, [])
    runtime.row_costs = replace(runtime.row_costs, n_few=2)
    runtime.clear()
    session.prefill(Inputs((), None, IDS[:3]), lambda: None)
    assert (runtime.prefilled, runtime.verified) == (3, [])
    session.prefill(Inputs((), None, IDS[:4]), lambda: None)
    assert (runtime.prefilled, len(runtime.verified)) == (3, 1)


def test_a_halt_comes_before_the_pass(loaded: LoadedModel) -> None:
    runtime = _Watched(loaded)
    session = DraftingSession(runtime, _Foresees((50, 51, 52)))
    assert session.prefill(Inputs((), None, IDS[:3]), lambda: StopReason.CANCELLED) is StopReason.CANCELLED
    assert runtime.n_positions == 0 and not runtime.verified
    assert isinstance(session.prefill(Inputs((), None, IDS[:3]), lambda: None), torch.Tensor)


def test_typing_along_takes_a_pass_less(loaded: LoadedModel) -> None:
    """What was expected stands in the pass that reads the key."""
    ids = loaded.tokenizer.encode("for name in names:\n    print(name)\n")
    said = generation(loaded, NEVER, Remembers([]), drafts=False).token_ids
    generator = HfGenerator(loaded, NEVER, FastRuntime(loaded.model, Weights.PLAIN))
    memory = Recites([*ids[:-1], *said])
    prompt = Prompt(tuple(ids), memory=memory)
    cold = generator.generate(prompt, RULE, NeverCancelled())
    generator._recollection.clear()
    warm = generator.generate(prompt, RULE, NeverCancelled())
    assert cold.n_prefilled > MOST_ROWS and warm.n_prefilled == 1
    assert warm.token_ids == cold.token_ids == said
    assert warm.n_forwards < cold.n_forwards


def test_the_next_request_reuses_a_cache_with_drafts_at_its_end(loaded: LoadedModel) -> None:
    runtime = FastRuntime(loaded.model, Weights.PLAIN)
    ids = loaded.tokenizer.encode("for name in names:\n    print(name)\n")
    generator = HfGenerator(loaded, NEVER, runtime)
    fresh = HfGenerator(loaded, NEVER, FastRuntime(loaded.model, Weights.PLAIN))
    memory = Remembers(torch.arange(5, 300).tolist())
    for end in (len(ids) - 4, len(ids) - 2, len(ids)):
        prompt = Prompt(tuple(ids[:end]), memory=memory)
        answer = generator.generate(prompt, RULE, NeverCancelled())
        fresh.forget()
        assert answer.text == fresh.generate(prompt, RULE, NeverCancelled()).text


def test_an_answer_that_was_withdrawn_goes_on_where_it_was(loaded: LoadedModel) -> None:
    generator = HfGenerator(loaded, NEVER, FastRuntime(loaded.model, Weights.PLAIN))
    prompt = Prompt(tuple(loaded.tokenizer.encode("for name in names:\n")), memory=Remembers([]))
    whole = generator.generate(prompt, RULE, NeverCancelled())
    generator.forget()
    begun = generator.generate(prompt, RULE, ManualCancel(12))
    assert begun.stop_reason is StopReason.CANCELLED
    assert 8 < len(begun.token_ids) < len(whole.token_ids)
    again = generator.generate(prompt, RULE, NeverCancelled())
    assert again.token_ids == whole.token_ids
    assert again.n_forwards <= whole.n_forwards - len(begun.token_ids) + 2

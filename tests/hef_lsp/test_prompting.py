"""How far back a prompt tells the file: the wider window where that costs no reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from engine_rig import URI, FakeView, Rig, chunk_hit, request_at, rig
from fakes import FakeGenerator

from hef_lsp.settings import ContextMode
from model.protocols import NeverCancelled, Prompt

LINES = "".join(f"value_{number} = {number}\n" for number in range(2_000))
GO = NeverCancelled()


def n_told(made: Rig, text: str = LINES) -> int:
    """Tokens of the prompt for a cursor at the end of `text`."""
    made.engine.complete(request_at(text + "║"), GO)
    return len(made.generator.calls[-1].prompt.token_ids)


def costing(monkeypatch: pytest.MonkeyPatch, cost: Callable[[int], int]) -> Rig:
    """A rig whose generator would have to read `cost` of a prompt's length."""

    def n_to_read(self: FakeGenerator, prompt: Prompt) -> int:
        assert prompt.open_text == URI
        return cost(len(prompt.token_ids))

    monkeypatch.setattr(FakeGenerator, "n_to_read", n_to_read)
    return rig(["1"])


def test_a_file_that_was_not_read_is_told_in_the_usual_window() -> None:
    made = rig(["1"])
    assert n_told(made) <= made.settings.context.prefix_tokens + 10


def test_what_was_read_is_told_farther_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made = costing(monkeypatch, lambda n_tokens: min(n_tokens, 96))
    usual, most = made.settings.context.prefix_tokens, made.generator.context_window // 3
    assert usual + 10 < n_told(made) <= most + 10


def test_a_window_in_the_cache_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = costing(monkeypatch, lambda n_tokens: 96 if n_tokens > 400 else 1)
    assert n_told(made) <= made.settings.context.prefix_tokens + 10


def test_beside_snippets_the_window_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeGenerator, "n_to_read", lambda *_: 96)
    made = rig(["1"], FakeView([chunk_hit("told.py", "def told():\n    pass\n")]), ContextMode.TEXT)
    made.engine.complete(request_at(LINES + "║"), GO)
    prompt = made.generator.calls[-1].prompt
    assert (
        0 < prompt.n_told < len(prompt.token_ids) <= made.settings.context.prefix_tokens + 10 + prompt.n_told
    )


def test_a_short_file_is_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: FakeGenerator, prompt: Prompt) -> int:
        raise AssertionError("there is nothing to choose")

    monkeypatch.setattr(FakeGenerator, "n_to_read", never)
    assert n_told(rig(["1"]), "x = 1\n") > 0


@pytest.mark.parametrize("setting", ["open_file_tokens", "read_prefix_tokens"])
def test_settings_forbid_it(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    made = rig(["1"])
    value = 16 if setting == "read_prefix_tokens" else 0
    monkeypatch.setattr(FakeGenerator, "n_to_read", lambda *_: 0)
    made.settings = replace(made.settings, context=replace(made.settings.context, **{setting: value}))
    assert n_told(made) <= made.settings.context.prefix_tokens + 10

"""The comparison decodes each prompt both ways and counts what came of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fakes import FakeGenerator, fake_bundle
from gate_rig import EITHER
from rich.console import Console
from tiny_models import load_tiny_model

from hef_lsp.bench.drafts import Comparing, NoDrafts, Pair, drafts_table, figures_of, measure_drafts
from model.generator import HfGenerator
from model.protocols import Generation, NeverCancelled, Prompt, StopReason, StopRule
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime


def said(tokens: int, n_forwards: int, decode_ms: float) -> Generation:
    return Generation("x", StopReason.LINE, tuple(range(tokens)), n_forwards=n_forwards, decode_ms=decode_ms)


def test_figures_are_sums_over_prompts() -> None:
    pairs = [Pair(said(10, 4, 50.0), said(10, 9, 100.0)), Pair(said(6, 2, 30.0), said(6, 6, 45.0))]
    figures = figures_of(pairs)
    assert (figures["prompts"], figures["same"], figures["tokens"]) == (2, 2, 16)
    assert (figures["tokens_a_pass"], figures["tokens_a_pass_without"]) == (
        round(16 / 6, 3),
        round(16 / 15, 3),
    )
    assert (figures["ms_a_token"], figures["ms_a_token_without"]) == (5.0, round(145 / 16, 3))
    assert (figures["wall_ratio"], figures["wall_ratio_median"]) == (round(145 / 80, 3), 1.75)
    assert figures_of([])["wall_ratio"] == 0.0
    other = Pair(said(3, 1, 1.0), said(4, 4, 4.0))
    assert figures_of([other])["same"] == 0


def test_a_table_shows_them() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(drafts_table({"none+memory": figures_of([Pair(said(10, 4, 50.0), said(10, 9, 100.0))])}))
    shown = console.export_text()
    assert "none+memory" in shown and "2.50" in shown and "2.00" in shown


def test_both_sides_are_the_same_model_and_session(tmp_path: Path) -> None:
    loaded = load_tiny_model(tmp_path / "tiny")
    generator = HfGenerator(loaded, EITHER, FastRuntime(loaded.model, Weights.PLAIN))
    comparing = Comparing(generator)
    assert generator.drafts and not comparing.plain.drafts
    prompt = Prompt(tuple(loaded.tokenizer.encode("for name in names:\n    print")))
    for _ in range(2):
        comparing.generate(prompt, StopRule(6), NeverCancelled())
    assert len(comparing.pairs) == 2
    for pair in comparing.pairs:
        assert pair.drafted.token_ids == pair.plain.token_ids
        assert pair.drafted.n_prefilled == pair.plain.n_prefilled > 0  # neither found the other's cache


@pytest.mark.parametrize("kind", ["fake", "modules"])
def test_a_model_without_drafts_is_told(kind: str, tmp_path: Path) -> None:
    generator = FakeGenerator() if kind == "fake" else HfGenerator(load_tiny_model(tmp_path / "tiny"), EITHER)
    with pytest.raises(NoDrafts, match="is not run by the CPU runtime"):
        measure_drafts([], tmp_path, fake_bundle(generator), ["none+memory"], lambda: None)  # type: ignore[arg-type]

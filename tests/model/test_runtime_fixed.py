"""Steps of a fixed shape against transformers' own forward pass; what a GPU records runs here as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import load_tiny_model
from transformers import PreTrainedModel

from model import bundle
from model.decoding import Inputs
from model.loading import LoadedModel
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.fixed_steps import SIZES, FixedSteps, record_cuda_graph

EXACT = {"atol": 1e-4, "rtol": 1e-4}


def ids_of(count: int) -> tuple[int, ...]:
    return tuple(int(number) for number in np.random.default_rng(0).integers(2, 300, count))


def plain(model: PreTrainedModel, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0]
    return logits


@pytest.fixture(params=["llama", "qwen2"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> PreTrainedModel:
    return load_tiny_model(tmp_path, request.param).model


class Recorded:
    """A recorder that counts, and keeps the output where a graph would."""

    def __init__(self) -> None:
        self.n_recorded = self.n_played = 0

    def __call__(self, run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        self.n_recorded += 1
        kept = run()

        def play() -> torch.Tensor:
            self.n_played += 1
            return kept.copy_(run())

        return play


def fixed(model: PreTrainedModel, first_capacity: int = 64) -> tuple[FastRuntime, Recorded]:
    runtime, recorder = FastRuntime(model, Weights.PLAIN, first_capacity), Recorded()
    runtime.fixed = FixedSteps(runtime._few, runtime._cache, recorder)
    return runtime, recorder


def test_prompt_steps_and_drafts_give_the_plain_logits(model: PreTrainedModel) -> None:
    ids = ids_of(60)
    expected = plain(model, ids)
    runtime, recorder = fixed(model)
    first = runtime.prefill(Inputs((), None, ids[:30]), lambda: None)
    assert isinstance(first, torch.Tensor)
    torch.testing.assert_close(first, expected[29], **EXACT)
    place = 30
    for n_rows in (1, 1, 3, 8, 2, 5):
        found = runtime.verify(ids[place : place + n_rows])
        torch.testing.assert_close(found, expected[place : place + n_rows], **EXACT)
        place += n_rows
    assert runtime.n_positions == place
    assert (recorder.n_recorded, recorder.n_played) == (4, 6)  # of 1, 2, 4 and 8 rows


def test_what_was_dropped_leaves_nothing_behind(model: PreTrainedModel) -> None:
    ids = ids_of(24)
    runtime, _ = fixed(model)
    runtime.prefill(Inputs((), None, ids[:10]), lambda: None)
    runtime.verify((7, 8, 9))
    runtime.drop(3)
    torch.testing.assert_close(runtime.verify(ids[10:13]), plain(model, ids)[10:13], **EXACT)


def test_earlier_logits_are_not_overwritten_by_later_ones(model: PreTrainedModel) -> None:
    ids = ids_of(12)
    runtime, _ = fixed(model)
    runtime.prefill(Inputs((), None, ids[:10]), lambda: None)
    first = runtime.step(ids[10])
    before = first.clone()
    runtime.step(ids[11])
    assert torch.equal(first, before)


def test_a_cache_that_grew_is_recorded_anew(model: PreTrainedModel) -> None:
    ids = ids_of(40)
    runtime, recorder = fixed(model, first_capacity=16)
    runtime.prefill(Inputs((), None, ids[:14]), lambda: None)
    expected = plain(model, ids)
    for place in range(14, 40):
        torch.testing.assert_close(runtime.step(ids[place]), expected[place], **EXACT)
    assert recorder.n_recorded == 3  # for 16, 32 and 64 places
    runtime.clear()
    runtime.prefill(Inputs((), None, ids[:14]), lambda: None)
    torch.testing.assert_close(runtime.step(ids[14]), expected[14], **EXACT)


def test_more_rows_than_the_largest_step_are_read_as_before(model: PreTrainedModel) -> None:
    ids = ids_of(30)
    runtime, recorder = fixed(model)
    runtime.prefill(Inputs((), None, ids[:10]), lambda: None)
    n_rows = SIZES[-1] + 1
    torch.testing.assert_close(
        runtime.verify(ids[10 : 10 + n_rows]), plain(model, ids)[10 : 10 + n_rows], **EXACT
    )
    assert recorder.n_recorded == 0
    assert not FixedSteps.take(0) and FixedSteps.take(1) and not FixedSteps.take(n_rows)


def test_without_cuda_a_pass_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")

    def run() -> torch.Tensor:
        return torch.zeros(1)

    assert record_cuda_graph(run) is run
    assert "steps are not recorded as a graph" in caplog.text


def test_the_check_at_load_sees_right_and_wrong(model: PreTrainedModel) -> None:
    runtime, _ = fixed(model)
    assert runtime.agrees_with(model) and runtime.n_positions == 0
    wrong = [layer.down for layer in runtime._few.layers]
    layers = tuple(
        type(layer)(
            layer.gain_in, layer.qkv, layer.out, layer.gain_mid, layer.gate_up, lambda rows, f=f: -f(rows)
        )
        for layer, f in zip(runtime._few.layers, wrong, strict=True)
    )
    object.__setattr__(runtime._few, "layers", layers)
    assert not runtime.agrees_with(model)


@pytest.mark.parametrize("trouble", ["disagrees", "fails"])
def test_on_a_device_where_it_does_not_work_the_module_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    loaded = load_tiny_model(tmp_path)
    elsewhere = LoadedModel(loaded.model, loaded.tokenizer, "tiny", None, "cuda", loaded.dtype)

    def check(self: FastRuntime, model: PreTrainedModel) -> bool:
        if trouble == "fails":
            raise RuntimeError("no kernel image is available")
        return False

    assert isinstance(bundle._fast_session(elsewhere), FastRuntime)
    monkeypatch.setattr(FastRuntime, "agrees_with", check)
    assert bundle._fast_session(elsewhere) is None

"""What one reading tells of a second one: the maps, their file, their fit, and who reads by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import ManualCancel
from test_slots import OTHER, TEXT, Parts

from model.errors import ModelCorrupt
from model.protocols import Interrupted
from model.slots.fuser import SlotFuser
from model.slots.needs import Needs
from model.slots.needs_fitting import NeedsFit, figures_of
from model.slots.reader import SlotReader, Watched


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def random_needs(parts: Parts, seed: int = 0) -> Needs:
    layout, hidden = parts.runtime.layout, parts.loaded.hidden_size
    source = torch.Generator().manual_seed(seed)
    return Needs(torch.randn((layout.n_layers, hidden + 1, layout.n_kv_heads), generator=source))


def reader_by(parts: Parts, needs: Needs | None) -> SlotReader:
    return SlotReader(parts.runtime.stack, parts.introduction, parts.again, needs)


def watched(n: int, weights: torch.Tensor, seed: int) -> Watched:
    n_layers, n_inputs, _ = weights.shape
    rows = torch.randn((n_layers, n, n_inputs - 1), generator=torch.Generator().manual_seed(seed))
    rows = torch.nn.functional.normalize(rows, dim=-1)
    whole = torch.cat([rows, torch.ones(n_layers, n, 1)], dim=-1)
    return Watched(rows, (whole @ weights).mT)


def test_a_fit_finds_the_map_that_made_the_scores() -> None:
    weights = torch.rand((2, 9, 3), generator=torch.Generator().manual_seed(0))
    fit = NeedsFit()
    for seed in range(20):
        fit.add(watched(40, weights, seed))
    learnt = fit.solved()
    assert torch.allclose(learnt.weights, weights, atol=0.01)
    unseen = [watched(40, weights, seed) for seed in (100, 101)]
    figures = figures_of(learnt, unseen, 30)
    assert figures.texts == 2 and figures.found > 0.95 and figures.mass > 0.999
    assert figures_of(Needs(-weights), unseen, 30).found < 0.2


def test_a_fit_without_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="no text"):
        NeedsFit().solved()


def test_figures_without_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="no text to judge by"):
        figures_of(Needs(torch.zeros(1, 2, 3)), [], 8)


def test_a_reading_is_scored_by_the_maps_and_keeps_its_keys_and_values(parts: Parts) -> None:
    needs, ids = random_needs(parts), parts.ids(TEXT)
    keys_values, scores = reader_by(parts, needs).read(ids)
    wanted, _ = reader_by(parts, None).read(ids)
    assert torch.equal(keys_values, wanted)
    seen = reader_by(parts, None).read_twice(ids)
    told = torch.stack([needs.scores(layer, rows) for layer, rows in enumerate(seen.rows)])
    assert torch.allclose(scores, told, atol=1e-5)


def test_both_readings_show_the_rows_of_the_model_and_the_scores_of_reading_twice(parts: Parts) -> None:
    ids = parts.ids(TEXT)
    seen = reader_by(parts, None).read_twice(ids)
    _, scores = reader_by(parts, None).read(ids)
    assert torch.equal(seen.scores, scores)
    text = torch.tensor([(*parts.introduction, *ids)])
    with torch.no_grad():
        states = parts.loaded.model(input_ids=text, output_hidden_states=True).hidden_states
    begin = len(parts.introduction)
    for rows, state in zip(seen.rows, states, strict=False):
        unit = torch.nn.functional.normalize(state[0, begin:].float(), dim=-1)
        assert torch.allclose(rows, unit, atol=1e-2)


def test_who_knows_the_needs_reads_once(parts: Parts) -> None:
    n_layers = parts.runtime.layout.n_layers
    encode = parts.loaded.tokenizer.encode_batch
    for needs, n_looks in ((random_needs(parts), n_layers), (None, 2 * n_layers)):
        fuser = SlotFuser(reader_by(parts, needs), encode, "tiny", 4)
        with pytest.raises(Interrupted):
            fuser.encode([TEXT], ManualCancel(n_looks - 1))
        assert fuser.encode([TEXT], ManualCancel(n_looks)).any()


def test_other_needs_are_other_memories(parts: Parts) -> None:
    encode = parts.loaded.tokenizer.encode_batch
    ids = {
        SlotFuser(reader_by(parts, needs), encode, "tiny", 4).model_id
        for needs in (None, random_needs(parts), random_needs(parts, seed=1))
    }
    assert len(ids) == 3


def test_needs_of_another_generator_are_refused(parts: Parts) -> None:
    with pytest.raises(ValueError, match="for a generator of"):
        reader_by(parts, Needs(torch.zeros(1, 2, 3)))


def test_a_file_gives_back_what_was_saved(parts: Parts, tmp_path: Path) -> None:
    needs = Needs(random_needs(parts).weights, {"seed": 3})
    path = tmp_path / "needs.safetensors"
    needs.save(path)
    back = Needs.load(path)
    assert back.provenance == {"seed": 3} and back.digest == needs.digest
    assert torch.equal(back.weights, needs.weights.half().float())
    vectors = [
        SlotFuser(reader_by(parts, read), parts.loaded.tokenizer.encode_batch, "t", 4).encode([OTHER])
        for read in (back, Needs.load(path))
    ]
    assert np.array_equal(*vectors)


@pytest.mark.parametrize("content", [b"", b"not a file", None])
def test_a_broken_file_says_what_to_do(parts: Parts, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "needs.safetensors"
    if content is None:  # numbers that are none
        Needs(torch.full((2, 3, 1), torch.nan)).save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(ModelCorrupt, match="install hef-lsp again"):
        Needs.load(path)


def test_the_needs_of_the_usual_generator_are_shipped() -> None:
    needs = Needs.for_generator("smollm2-135m")
    assert needs is not None and needs.fits(30, 3, 576)
    assert needs.provenance["judged_on"]["mass"] > 0.85
    assert Needs.for_generator("") is None and Needs.for_generator("unknown") is None

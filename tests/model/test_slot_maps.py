"""Maps of slots: what they make of pairs, their file, and how they are learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_slots import EXACT, OTHER, TAIL, TEXT, Parts

from model.decoding import Inputs
from model.errors import ModelCorrupt
from model.slots.frozen_reading import FrozenReader, laid_out
from model.slots.maps import SlotMaps
from model.slots.maps_fitting import EXAMPLES_A_STEP, LearntMaps, MapsFit, SlotExample
from model.slots.needs import Needs
from model.slots.pairs import Pairs, together
from model.slots.projector import SlotProjector


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def random_maps(parts: Parts, size: float = 0.3) -> SlotMaps:
    layout, source = parts.runtime.layout, torch.Generator().manual_seed(0)
    return SlotMaps(
        size * torch.randn(layout.n_heads, 2, layout.head_size, layout.head_size, generator=source)
    )


def shown(parts: Parts, *texts: str) -> Pairs:
    """As a prompt has them, the first text's last."""
    return together([parts.kept(text) for text in reversed(texts)])


def reader_of(parts: Parts) -> FrozenReader:
    return FrozenReader(parts.runtime.stack.plan, parts.introduction)


def test_a_pair_is_changed_by_its_own_head(parts: Parts) -> None:
    maps, pairs = random_maps(parts), shown(parts, TEXT, OTHER)
    changed = maps.applied(pairs.heads, pairs.numbers)
    size = parts.runtime.layout.head_size
    for head, before, after in zip(pairs.heads, pairs.numbers, changed, strict=True):
        for which, part in enumerate((slice(0, size), slice(size, None))):
            wanted = before[part] + before[part] @ maps.weights[head, which]
            assert torch.allclose(after[part], wanted, atol=1e-5)


def test_a_projector_with_maps_changes_what_is_shown_and_says_so_in_its_name(parts: Parts) -> None:
    maps, vectors = random_maps(parts), parts.fuser.encode([TEXT, OTHER])
    plain = parts.projector.project(vectors, [0, 0], 3)
    learnt = SlotProjector(parts.fuser.format, maps)
    changed = learnt.project(vectors, [0, 0], 3)
    assert np.array_equal(plain.heads, changed.heads)
    wanted = maps.applied(torch.from_numpy(plain.heads), torch.from_numpy(plain.numbers))
    assert np.allclose(changed.numbers, wanted.numpy(), atol=1e-6)
    assert learnt.model_id != parts.projector.model_id
    assert not len(learnt.project(vectors[:0], [], 3))
    assert not len(learnt.project(vectors, [0, 0], 0))


def test_maps_of_another_generator_are_refused(parts: Parts) -> None:
    with pytest.raises(ValueError, match="maps of"):
        SlotProjector(parts.fuser.format, SlotMaps(torch.zeros(1, 2, 3, 3)))
    with pytest.raises(ValueError, match="maps of"):
        LearntMaps(parts.runtime.layout, 2, 0, SlotMaps(torch.zeros(1, 2, 3, 3)))


def test_maps_come_back_from_their_file(parts: Parts, tmp_path: Path) -> None:
    maps = SlotMaps(random_maps(parts).weights.half().float(), {"seed": 1})
    maps.save(tmp_path / "maps.safetensors")
    back = SlotMaps.load(tmp_path / "maps.safetensors")
    assert torch.equal(back.weights, maps.weights)
    assert back.provenance == {"seed": 1} and back.digest == maps.digest


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "maps.safetensors"
    path.write_bytes(b"\x00" * 40)
    with pytest.raises(ModelCorrupt, match="install hef-lsp again"):
        SlotMaps.load(path)


def test_a_generator_that_nothing_was_learnt_for_has_no_maps() -> None:
    assert SlotMaps.for_generator("") is None and SlotMaps.for_generator("no-such-generator") is None


def test_shipped_maps_are_of_the_generator_that_they_are_named_for() -> None:
    maps, needs = SlotMaps.for_generator("smollm2-135m"), Needs.for_generator("smollm2-135m")
    assert maps is not None and needs is not None
    assert maps.weights.shape == (30 * 3, 2, 64, 64)
    assert needs.digest in maps.provenance["fuser"]
    judged = maps.provenance["judged"]
    assert judged["nats_after"] < judged["nats_before"]


def test_layers_are_no_longer_than_their_longest_head(parts: Parts) -> None:
    layout, size = parts.runtime.layout, parts.runtime.layout.head_size
    heads = torch.tensor([0, 0, layout.n_kv_heads])
    numbers = torch.arange(3.0)[:, None].expand(-1, 2 * size)
    layers = laid_out(Pairs(heads, numbers, torch.ones(3)), layout)
    assert [there.shape[1] for _, there in layers][:2] == [2, 1]
    first, there = layers[0]
    assert first[0, 0, :, 0].tolist() == [0.0, 1.0] and there[0].tolist() == [True, True]
    assert not there[1:].any() and not first[1:].any()


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_frozen_reading_says_what_the_runtime_says(tmp_path: Path, family: str) -> None:
    parts = Parts(tmp_path, family)
    maps, ids = random_maps(parts), parts.ids(TAIL)
    vectors = parts.fuser.encode([TEXT, OTHER])
    rows = SlotProjector(parts.fuser.format, maps).project(vectors, [0, 0], 1000)
    wanted = parts.read(Inputs(parts.introduction, rows, ids))
    by_layer = maps.weights.unflatten(0, (parts.runtime.layout.n_layers, -1))
    reader = reader_of(parts)
    with torch.no_grad():
        pairs = shown(parts, TEXT, OTHER)
        logits = reader.logits(ids, len(ids) - 1, pairs, lambda layer, now: now + now @ by_layer[layer])
        assert torch.allclose(logits[0], wanted, atol=EXACT)
        alone = reader.logits(ids, len(ids) - 1, None, None)
    introduced = Inputs((), None, (*parts.introduction, *ids))
    assert torch.allclose(alone[0], parts.read(introduced), atol=EXACT)


def test_what_is_merged_is_what_was_learnt(parts: Parts) -> None:
    layout = parts.runtime.layout
    assert not LearntMaps(layout, 2, seed=0).merged().weights.any()
    start = random_maps(parts)
    learnt = LearntMaps(layout, 2, seed=0, start=start)
    with torch.no_grad():
        assert torch.allclose(learnt.merged().weights, start.weights, atol=1e-6)
        learnt.factors.add_(0.1)
        learnt.up.add_(0.05)
        pairs = shown(parts, TEXT)
        merged = learnt.merged().applied(pairs.heads, pairs.numbers)
        for layer, (numbers, there) in enumerate(laid_out(pairs, layout)):
            changed = learnt.change(layer, numbers).transpose(1, 2).flatten(2)[there]
            own = pairs.heads.div(layout.n_kv_heads, rounding_mode="floor") == layer
            assert torch.allclose(changed, merged[own], atol=1e-5)


def test_learning_makes_what_is_to_come_likelier(parts: Parts) -> None:
    ids = parts.ids(TAIL)
    example = SlotExample(ids, (1.0,) * 6, shown(parts, TEXT, OTHER))
    fit = MapsFit(reader_of(parts), 40 * EXAMPLES_A_STEP, rank=2)
    before = fit.judged([example], learnt=False)
    assert fit.judged([example]) == pytest.approx(before, abs=1e-5)
    for number in range(10 * EXAMPLES_A_STEP):
        told = fit.learn(example)
        assert number >= EXAMPLES_A_STEP or told == pytest.approx(before, abs=1e-5)
    after = fit.judged([example])
    assert after < before - 1e-3
    assert fit.judged([example], learnt=False) == pytest.approx(before, abs=1e-6)

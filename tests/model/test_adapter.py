"""The generator's adapter: saved with a checkpoint, merged on loading, refused when it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dense_parts import fuser_config, projector_config
from tiny_models import load_tiny_model

from model.adapter import AdapterConfig, merge_adapter
from model.bundle import adapted
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, take_checkpoint
from model.errors import CheckpointMismatch, ModelCorrupt
from model.fuser import HefFuser
from model.layers import Backbone
from model.loading import LoadedModel
from model.projector import HefProjector
from model.protocols import FimOrder, FimTemplate

FIM = FimTemplate("<|fim_prefix|>", "<|fim_suffix|>", "", FimOrder.SUFFIX_PREFIX, ("<|im_end|>",))
CONFIG = AdapterConfig(2, 4.0, ("q_proj", "down_proj"), FIM)


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    return load_tiny_model(tmp_path / "tiny")


def tensors_for(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    tensors = {}
    for number, layer in enumerate(loaded.model.model.layers):
        for name, linear in (("q_proj", layer.self_attn.q_proj), ("down_proj", layer.mlp.down_proj)):
            n_out, n_in = linear.weight.shape
            tensors[f"layers.{number}.{name}.down"] = torch.randn(2, n_in, generator=source)
            tensors[f"layers.{number}.{name}.up"] = torch.randn(n_out, 2, generator=source)
    return tensors


def checkpoint_for(loaded: LoadedModel, config: AdapterConfig | None = CONFIG) -> Checkpoint:
    fuser = HefFuser(fuser_config(loaded), Backbone.of(loaded.model, 2), lambda texts: [[1] for _ in texts])
    projector = HefProjector(projector_config(loaded))
    fuser.reset(0)
    projector.reset(0)
    adapter = None if config is None else (config, tensors_for(loaded))
    return take_checkpoint(fuser, projector, loaded.model_id, adapter=adapter)


def test_an_adapter_survives_saving_and_changes_the_maps_by_its_product(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "saved", checkpoint_for(loaded))
    checkpoint = load_checkpoint(tmp_path / "saved", loaded.model_id, loaded.hidden_size)
    assert checkpoint.config.adapter == CONFIG
    before = loaded.model.model.layers[1].mlp.down_proj.weight.detach().clone()
    untouched = loaded.model.model.layers[1].mlp.up_proj.weight.detach().clone()
    merged = adapted(loaded, checkpoint)
    tensors = tensors_for(loaded)
    change = 2.0 * tensors["layers.1.down_proj.up"] @ tensors["layers.1.down_proj.down"]
    assert torch.allclose(merged.model.model.layers[1].mlp.down_proj.weight, before + change, atol=1e-5)
    assert torch.equal(merged.model.model.layers[1].mlp.up_proj.weight, untouched)
    assert torch.allclose(merged.changes[merged.model.model.layers[1].mlp.down_proj].whole(), change)


def test_an_adapted_generator_has_a_name_and_marks_of_its_own(loaded: LoadedModel) -> None:
    merged = adapted(loaded, checkpoint_for(loaded))
    assert merged.model_id != loaded.model_id
    assert merged.model_id.startswith(loaded.model_id)
    assert merged.fim == replace(FIM, within_lines_only=True)


def test_without_an_adapter_the_generator_stays_what_it_is(loaded: LoadedModel) -> None:
    assert adapted(loaded, checkpoint_for(loaded, None)) is loaded


def test_vectors_of_another_adapter_have_another_id(loaded: LoadedModel) -> None:
    assert checkpoint_for(loaded).fuser_id != checkpoint_for(loaded, None).fuser_id


Spoil = Callable[[dict[str, torch.Tensor]], object]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("adapter.layers.0.q_proj.up"), "layers.0.q_proj is missing or of another shape"),
        (lambda t: t.update({"adapter.layers.0.q_proj.up": torch.ones(3, 2)}), "another shape"),
        (lambda t: t["adapter.layers.1.down_proj.down"].fill_(torch.nan), "not finite"),
        (lambda t: t.update({"adapter.layers.7.q_proj.up": torch.ones(1, 1)}), "unknown adapter.layers.7"),
    ],
)
def test_a_spoilt_adapter_is_refused_and_changes_nothing(
    loaded: LoadedModel, spoil: Spoil, message: str
) -> None:
    tensors = {f"adapter.{name}": tensor for name, tensor in tensors_for(loaded).items()}
    spoil(tensors)
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    with pytest.raises(ModelCorrupt, match=message):
        merge_adapter(loaded.model, CONFIG, tensors)
    assert all(torch.equal(before[name], value) for name, value in loaded.model.state_dict().items())


def test_a_generator_without_such_maps_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(CheckpointMismatch, match="no linear map 'w_proj'"):
        merge_adapter(loaded.model, AdapterConfig(2, 4.0, ("w_proj",)), {})
    with pytest.raises(CheckpointMismatch, match="Llama layout"):
        merge_adapter(torch.nn.Linear(2, 2), CONFIG, {})

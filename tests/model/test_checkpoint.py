"""Checkpoints: exact round trips, ids that tell weights apart, and every way a folder can be wrong."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from dense_parts import TEXTS, dense_parts, seeded, stir
from tiny_models import load_tiny_model

from model.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    build_modules,
    load_checkpoint,
    save_checkpoint,
    take_checkpoint,
)
from model.errors import CheckpointMismatch, ModelCorrupt, ModelNotFound
from model.layers import Backbone
from model.loading import LoadedModel


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return load_tiny_model(tmp_path_factory.mktemp("model") / "llama")


@pytest.fixture
def trained(loaded: LoadedModel) -> Checkpoint:
    fuser, projector = dense_parts(loaded)
    stir(fuser)
    stir(projector)
    return take_checkpoint(
        fuser, projector, loaded.model_id, evaluation={"best_context": "dense"}, provenance={"commit": "abc"}
    )


@pytest.fixture
def folder(tmp_path: Path, trained: Checkpoint) -> Path:
    save_checkpoint(tmp_path / "checkpoint", trained)
    return tmp_path / "checkpoint"


def load(folder: Path, loaded: LoadedModel) -> Checkpoint:
    return load_checkpoint(folder, loaded.model_id, loaded.hidden_size)


def edit_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((folder / CONFIG_FILE).read_text())
    change(data)
    (folder / CONFIG_FILE).write_text(json.dumps(data))


def write_tensors(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Other tensors under a right checksum."""
    content = safetensors.torch.save(tensors)
    (folder / WEIGHTS_FILE).write_bytes(content)
    edit_config(folder, lambda data: data.update(weights_sha256=hashlib.sha256(content).hexdigest()))


def test_a_round_trip_is_exact_to_the_bit(loaded: LoadedModel, trained: Checkpoint, folder: Path) -> None:
    back = load(folder, loaded)
    assert back.config == trained.config
    assert back.tensors.keys() == trained.tensors.keys()
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in trained.tensors.items())
    assert (back.fuser_id, back.projector_id) == (trained.fuser_id, trained.projector_id)


def test_modules_of_a_round_trip_compute_the_same(
    loaded: LoadedModel, trained: Checkpoint, folder: Path
) -> None:
    results = []
    for checkpoint in (trained, load(folder, loaded)):
        fuser, projector = build_modules(
            checkpoint, Backbone.of(loaded.model, 2), loaded.tokenizer.encode_batch
        )
        encoded = fuser.encode(TEXTS)
        results.append((encoded, projector.project(encoded, [0] * len(TEXTS), 12)))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_folder_holds_two_files_and_only_what_was_learned(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]
    assert (folder / WEIGHTS_FILE).stat().st_size < 100_000


def test_saving_again_replaces(loaded: LoadedModel, folder: Path) -> None:
    save_checkpoint(folder, seeded(loaded, seed=3))
    assert load(folder, loaded).config.seed == 3


def test_same_seed_same_checkpoint(loaded: LoadedModel) -> None:
    torch.manual_seed(1)
    first = seeded(loaded)
    torch.manual_seed(2)
    second = seeded(loaded)
    assert all(torch.equal(second.tensors[name], tensor) for name, tensor in first.tensors.items())
    assert first.fuser_id == second.fuser_id
    assert first.fuser_id.startswith("hef-seed0-")
    assert seeded(loaded, seed=1).fuser_id != first.fuser_id


def test_ids_change_with_the_weights_and_not_with_the_other_part(
    loaded: LoadedModel, trained: Checkpoint
) -> None:
    fuser, projector = build_modules(trained, Backbone.of(loaded.model, 2), loaded.tokenizer.encode_batch)
    with torch.no_grad():
        projector.gain.add_(1e-3)
    other = take_checkpoint(fuser, projector, loaded.model_id)
    assert other.fuser_id == trained.fuser_id, "stored vectors stay good when only the projector is trained"
    assert other.projector_id != trained.projector_id
    with torch.no_grad():
        fuser.slots[0, 0] += 1e-6
    assert take_checkpoint(fuser, projector, loaded.model_id).fuser_id != trained.fuser_id


def test_ids_change_with_the_generator_and_the_sizes(loaded: LoadedModel) -> None:
    plain = seeded(loaded)
    fuser, projector = build_modules(plain, Backbone.of(loaded.model, 2), loaded.tokenizer.encode_batch)
    assert take_checkpoint(fuser, projector, "another", seed=0).fuser_id != plain.fuser_id
    assert seeded(loaded, n_layers=2, max_tokens=39).fuser_id != plain.fuser_id


def test_modules_carry_the_ids(loaded: LoadedModel, trained: Checkpoint) -> None:
    fuser, projector = build_modules(trained, Backbone.of(loaded.model, 2), loaded.tokenizer.encode_batch)
    assert (fuser.model_id, projector.model_id) == (trained.fuser_id, trained.projector_id)


def test_training_a_module_leaves_its_checkpoint_alone(loaded: LoadedModel, trained: Checkpoint) -> None:
    before = {name: tensor.clone() for name, tensor in trained.tensors.items()}
    fuser, projector = build_modules(trained, Backbone.of(loaded.model, 2), loaded.tokenizer.encode_batch)
    taken = take_checkpoint(fuser, projector, loaded.model_id)
    stir(fuser)
    stir(projector)
    for name, tensor in before.items():
        assert torch.equal(trained.tensors[name], tensor)
        assert torch.equal(taken.tensors[name], tensor)


def test_built_modules_can_be_trained(loaded: LoadedModel, trained: Checkpoint) -> None:
    fuser, projector = build_modules(trained, Backbone.of(loaded.model, 2), loaded.tokenizer.encode_batch)
    assert all(p.requires_grad for module in (fuser, projector) for p in module.parameters())


@pytest.mark.parametrize(
    ("evaluation", "dense"),
    [(None, False), ({}, False), ({"best_context": "text"}, False), ({"best_context": "dense"}, True)],
)
def test_dense_is_preferred_only_by_its_own_record(
    loaded: LoadedModel, evaluation: dict[str, str] | None, dense: bool
) -> None:
    fuser, projector = dense_parts(loaded)
    checkpoint = take_checkpoint(fuser, projector, loaded.model_id, evaluation=evaluation)
    assert checkpoint.config.prefers_dense is dense


def test_untrained_weights_never_prefer_dense(loaded: LoadedModel) -> None:
    fuser, projector = dense_parts(loaded)
    record = {"best_context": "dense"}
    checkpoint = take_checkpoint(fuser, projector, loaded.model_id, evaluation=record, seed=0)
    assert not checkpoint.config.prefers_dense


def test_another_generator_is_named(folder: Path, loaded: LoadedModel) -> None:
    with pytest.raises(CheckpointMismatch, match=r"generator 'tiny-llama-0', loaded is 'qwen'.*auto"):
        load_checkpoint(folder, "qwen", loaded.hidden_size)


def test_another_hidden_size_is_named(folder: Path, loaded: LoadedModel) -> None:
    with pytest.raises(CheckpointMismatch, match=r"hidden size 32, loaded is one of 64"):
        load_checkpoint(folder, loaded.model_id, 64)


def test_building_on_a_backbone_of_another_width_is_refused(
    trained: Checkpoint, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backbone, "hidden_size", 64)
    with pytest.raises(CheckpointMismatch, match="hidden size 32, loaded is one of 64"):
        build_modules(trained, Backbone.of(loaded.model, 2), loaded.tokenizer.encode_batch)


@pytest.mark.parametrize("version", [3, 1, 0, None, "2"])
def test_an_unknown_format_version_says_update(folder: Path, loaded: LoadedModel, version: object) -> None:
    edit_config(folder, lambda data: data.update(format_version=version))
    with pytest.raises(CheckpointMismatch, match=r"update hef-lsp"):
        load(folder, loaded)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_weights_are_found(folder: Path, loaded: LoadedModel, kept: int) -> None:
    path = folder / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelCorrupt, match=r"truncated or altered.*again"):
        load(folder, loaded)


def test_one_altered_bit_is_found(folder: Path, loaded: LoadedModel) -> None:
    path = folder / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelCorrupt, match="truncated or altered"):
        load(folder, loaded)


def test_missing_weights_are_found(folder: Path, loaded: LoadedModel) -> None:
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelCorrupt, match=f"lacks {WEIGHTS_FILE}"):
        load(folder, loaded)


def test_a_file_that_is_no_safetensors_is_found(folder: Path, loaded: LoadedModel) -> None:
    content = b"not tensors at all"
    (folder / WEIGHTS_FILE).write_bytes(content)
    edit_config(folder, lambda data: data.update(weights_sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(ModelCorrupt, match="no safetensors file"):
        load(folder, loaded)


def test_a_folder_without_config_is_no_checkpoint(tmp_path: Path, loaded: LoadedModel) -> None:
    with pytest.raises(ModelNotFound, match="holds no checkpoint"):
        load(tmp_path / "nowhere", loaded)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b" " * (2**20 + 1)])
def test_an_unreadable_config_is_corrupt(folder: Path, loaded: LoadedModel, content: bytes) -> None:
    (folder / CONFIG_FILE).write_bytes(content)
    with pytest.raises(ModelCorrupt, match=CONFIG_FILE):
        load(folder, loaded)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("fuser"), "fuser is missing"),
        (lambda data: data["fuser"].pop("n_layers"), "n_layers is missing"),
        (lambda data: data["fuser"].update(n_layers="six"), "n_layers is 'six', expected int"),
        (lambda data: data["fuser"].update(n_layers=True), "n_layers is True"),
        (lambda data: data["fuser"].update(lora_targets=["q_proj", 3]), "lora_targets is 3"),
        (lambda data: data["fuser"].update(depth=3), "FuserConfig has no depth"),
        (lambda data: data["fuser"].update(n_vectors=0), "must be positive"),
        (lambda data: data["projector"].update(n_vectors=8), "differ in n_vectors"),
        (lambda data: data.update(evaluation="dense"), "evaluation is 'dense'"),
        (lambda data: data.update(seed="x"), "seed is 'x', expected int or null"),
    ],
)
def test_a_field_amiss_is_named(
    folder: Path, loaded: LoadedModel, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_config(folder, change)
    with pytest.raises(ModelCorrupt, match=message):
        load(folder, loaded)


def build(folder: Path, loaded: LoadedModel) -> None:
    checkpoint = load(folder, loaded)
    backbone = Backbone.of(loaded.model, checkpoint.config.fuser.n_layers)
    build_modules(checkpoint, backbone, loaded.tokenizer.encode_batch)


def test_missing_and_unknown_tensors_are_named(
    folder: Path, loaded: LoadedModel, trained: Checkpoint
) -> None:
    tensors = dict(trained.tensors)
    tensors["fuser.mystery"] = tensors.pop("fuser.slots")
    del tensors["projector.gain"]
    write_tensors(folder, tensors)
    with pytest.raises(ModelCorrupt, match=r"lacks fuser.slots, projector.gain and .*unknown fuser.mystery"):
        build(folder, loaded)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda slots: slots[:-1],
            r"fuser.slots is torch.float32 \(4, 32\), expected torch.float32 \(5, 32\)",
        ),
        (lambda slots: slots.int(), "fuser.slots is torch.int32"),
        (lambda slots: slots * torch.nan, "fuser.slots holds numbers that are not finite"),
    ],
)
def test_a_wrong_tensor_is_named(
    folder: Path,
    loaded: LoadedModel,
    trained: Checkpoint,
    spoil: Callable[[torch.Tensor], torch.Tensor],
    message: str,
) -> None:
    tensors = dict(trained.tensors)
    tensors["fuser.slots"] = spoil(tensors["fuser.slots"]).contiguous()
    write_tensors(folder, tensors)
    with pytest.raises(ModelCorrupt, match=message):
        build(folder, loaded)


def test_absurd_sizes_take_no_memory(folder: Path, loaded: LoadedModel) -> None:
    def grow(data: dict[str, Any]) -> None:
        for part in ("fuser", "projector"):
            data[part]["dimension"] = 10**9

    edit_config(folder, grow)
    with pytest.raises(ModelCorrupt, match="expected"):
        build(folder, loaded)

"""The bundle: everything loaded by one call, and what is said of parts that are missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from dense_parts import dense_parts, stir
from tiny_models import load_tiny_model, save_tiny_model, tiny_backend

from model import bundle as bundle_module
from model.bundle import default_checkpoint, find_checkpoint, load_bundle, tokenizer_id
from model.checkpoint import save_checkpoint, take_checkpoint
from model.embedder import StaticEmbedder
from model.errors import ModelNotFound
from model.generator import HfGenerator
from model.hub import ModelHub
from model.loading import LoadedModel
from model.protocols import NeverCancelled, Prompt, StopRule
from model.runtime import fast_runtime
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.slots.maps import SlotMaps
from model.tokenization import HfTokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny").path


@pytest.fixture
def hub(tmp_path: Path) -> ModelHub:
    return ModelHub(tmp_path / "cache", offline=True)


def load(
    folder: Path,
    hub: ModelHub,
    embedder: str = "static",
    checkpoint: str = "auto",
    memories: str = "vectors",
) -> bundle_module.ModelBundle:
    return load_bundle(str(folder), "cpu", 1, embedder, checkpoint, hub, memories)


def save_trained(folder: Path, loaded: LoadedModel, best: str) -> Path:
    fuser, projector = dense_parts(loaded)
    stir(fuser)
    checkpoint = take_checkpoint(fuser, projector, loaded.model_id, evaluation={"best_context": best})
    save_checkpoint(folder, checkpoint)
    return folder


@pytest.fixture
def loaded(folder: Path, hub: ModelHub) -> LoadedModel:
    """The very generator that `load` finds, under its own id."""
    from model.loading import load_language_model

    return load_language_model(hub.resolve(str(folder), allow_download=False), "cpu")


def test_chunks_reach_the_generator_as_pseudo_tokens(folder: Path, hub: ModelHub) -> None:
    bundle = load(folder, hub)
    assert bundle.notes == ()
    assert bundle.fuser is not None
    assert bundle.projector is not None
    vectors = bundle.fuser.encode(["def add(first, second):", "return first"])
    parent = bundle.fuser.fuse(vectors[None], np.ones((1, 2), dtype=bool))
    pseudo = bundle.projector.project(np.concatenate([vectors, parent]), [0, 0, 2], 48)
    assert pseudo.shape == (24, bundle.generator.hidden_size)
    ids = tuple(bundle.generator.tokenizer.encode("value = "))
    told = bundle.generator.generate(Prompt(ids, pseudo), StopRule(4), NeverCancelled())
    assert 24 < told.n_prefilled <= 24 + len(ids)  # the last word is spelt again


def test_an_untrained_checkpoint_prefers_text_and_is_named_by_its_seed(folder: Path, hub: ModelHub) -> None:
    first, second = load(folder, hub), load(folder, hub)
    assert first.preferred_context == "text"
    assert first.fuser is not None
    assert second.fuser is not None
    assert first.fuser.model_id == second.fuser.model_id
    assert first.fuser.model_id.startswith("hef-seed0-")
    np.testing.assert_array_equal(first.fuser.encode(["x = 1"]), second.fuser.encode(["x = 1"]))


@pytest.mark.parametrize("best", ["dense", "text"])
def test_a_checkpoints_own_record_decides(
    folder: Path, hub: ModelHub, loaded: LoadedModel, tmp_path: Path, best: str
) -> None:
    bundle = load(folder, hub, checkpoint=str(save_trained(tmp_path / "trained", loaded, best)))
    assert bundle.notes == ()
    assert bundle.preferred_context == best
    assert bundle.fuser is not None
    assert not bundle.fuser.model_id.startswith("hef-seed")


@pytest.mark.parametrize(("best", "takes_slots"), [("dense", False), ("text", True)])
def test_auto_takes_a_checkpoints_vectors_only_where_they_win(
    folder: Path, hub: ModelHub, loaded: LoadedModel, tmp_path: Path, best: str, takes_slots: bool
) -> None:
    checkpoint = str(save_trained(tmp_path / "trained", loaded, best))
    bundle = load(folder, hub, checkpoint=checkpoint, memories="auto")
    assert bundle.preferred_context == best
    assert bundle.fuser is not None
    assert bundle.fuser.model_id.startswith("slots-") is takes_slots


def test_auto_takes_slots_without_a_checkpoint(folder: Path, hub: ModelHub) -> None:
    bundle = load(folder, hub, checkpoint="none", memories="auto")
    assert bundle.fuser is not None
    assert bundle.projector is not None
    rows = bundle.projector.project(bundle.fuser.encode(["def add(first, second):"]), [0], 48)
    ids = tuple(bundle.generator.tokenizer.encode("value = "))
    told = bundle.generator.generate(Prompt(ids, rows), StopRule(4), NeverCancelled())
    plain = bundle.generator.generate(Prompt(ids), StopRule(4), NeverCancelled())
    assert len(rows) > 0 and told.text != plain.text


def test_a_damaged_checkpoint_leaves_the_rest_running(
    folder: Path, hub: ModelHub, loaded: LoadedModel, tmp_path: Path
) -> None:
    damaged = save_trained(tmp_path / "trained", loaded, "dense")
    (damaged / "model.safetensors").write_bytes(b"")
    bundle = load(folder, hub, checkpoint=str(damaged))
    assert (bundle.fuser, bundle.projector, bundle.preferred_context) == (None, None, "text")
    assert len(bundle.notes) == 1
    assert "The checkpoint is not used" in bundle.notes[0]
    assert "truncated or altered" in bundle.notes[0]
    assert bundle.generator.generate(Prompt((5, 6)), StopRule(1), NeverCancelled())


def test_a_checkpoint_of_another_generator_leaves_the_rest_running(
    folder: Path, hub: ModelHub, tmp_path: Path
) -> None:
    other = load_tiny_model(tmp_path / "other", seed=5)
    bundle = load(folder, hub, checkpoint=str(save_trained(tmp_path / "trained", other, "dense")))
    assert bundle.fuser is None
    assert "made for the generator 'tiny-llama-5'" in bundle.notes[0]


def test_a_missing_checkpoint_folder_is_said(folder: Path, hub: ModelHub, tmp_path: Path) -> None:
    bundle = load(folder, hub, checkpoint=str(tmp_path / "nowhere"))
    assert bundle.fuser is None
    assert "is no folder" in bundle.notes[0]


def test_a_shipped_checkpoint_comes_before_the_seeded(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_module, "WEIGHTS_FOLDER", tmp_path)
    save_trained(tmp_path / "tiny", loaded, "dense")
    assert find_checkpoint("auto", loaded, "tiny").config.prefers_dense
    assert find_checkpoint("auto", loaded, "large").config.seed == 0
    assert find_checkpoint("auto", loaded).config.seed == 0


def test_an_embedder_that_cannot_be_had_gives_way_to_the_static(folder: Path, hub: ModelHub) -> None:
    bundle = load(folder, hub, embedder="no-such-encoder")
    assert isinstance(bundle.embedder, StaticEmbedder)
    assert "'no-such-encoder' is not used, 'static' is instead" in bundle.notes[0]


def test_a_missing_generator_is_an_error(tmp_path: Path, hub: ModelHub) -> None:
    with pytest.raises(ModelNotFound):
        load(tmp_path / "nowhere", hub)


def test_tokens_are_counted_by_the_generators_tokenizer(folder: Path, hub: ModelHub) -> None:
    bundle = load(folder, hub)
    text = "def add(first, second):\n"
    assert bundle.count_tokens([text, ""]) == [len(bundle.generator.tokenizer.encode(text)), 0]


def test_tokenizer_id_follows_the_tokenizer_and_not_the_model(
    folder: Path, hub: ModelHub, tmp_path: Path
) -> None:
    other = save_tiny_model(tmp_path / "other", seed=4)
    assert load(folder, hub).tokenizer_id == load(other.path, hub).tokenizer_id
    backend = tiny_backend()
    backend.add_tokens(["return"])
    assert tokenizer_id(HfTokenizer(backend, {0})) != tokenizer_id(HfTokenizer(tiny_backend(), {0}))


def test_default_sizes_shrink_to_a_small_generator(loaded: LoadedModel) -> None:
    config = default_checkpoint(loaded).config
    assert (config.fuser.n_layers, config.fuser.dimension) == (2, 32)
    assert (config.fuser.n_vectors, config.fuser.max_children) == (8, 16)
    weight = loaded.model.get_input_embeddings().weight
    assert config.projector.token_norm == pytest.approx(float(weight.float().norm(dim=1).mean()), rel=0.05)


def test_number_type_of_a_start_does_not_rename_the_vectors(folder: Path, hub: ModelHub) -> None:
    """The CPU's type is chosen by a trial of speed: were ids to follow it, all would be fused anew."""
    from model.loading import load_language_model

    loaded = load_language_model(hub.resolve(str(folder), allow_download=False), "cpu")
    ids = []
    for dtype in (torch.float32, torch.bfloat16):
        loaded.model.to(dtype)
        ids.append(default_checkpoint(loaded).fuser_id)
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("generator", "seconds", "wanted"),
    [(None, 0.01, "dense"), (None, 0.001, "text"), ("another", 0.01, "text")],
)
def test_auto_reads_slots_where_maps_are_of_this_very_generator_and_text_takes_long(
    folder: Path,
    hub: ModelHub,
    monkeypatch: pytest.MonkeyPatch,
    generator: str | None,
    seconds: float,
    wanted: str,
) -> None:
    monkeypatch.setattr(
        fast_runtime, "fastest_of", lambda passes, n_rounds: [seconds * n_rows for _, n_rows in passes]
    )
    plain = load(folder, hub, memories="slots")
    assert plain.preferred_context == "text"
    layout = plain.generator.slot_layout
    assert layout is not None
    shape = layout.n_heads, 2, layout.head_size, layout.head_size
    maps = SlotMaps(torch.zeros(shape), {"generator": generator or plain.generator.model_id})
    monkeypatch.setattr(SlotMaps, "for_generator", lambda _: maps)
    learnt = load(folder, hub, memories="auto")
    assert learnt.preferred_context == wanted and learnt.fuses_on_demand
    assert learnt.projector is not None and learnt.projector.model_id.endswith(maps.digest)


@pytest.mark.parametrize(
    ("name", "seconds", "wanted"),
    [
        ("Qwen2.5-Coder-1.5B-Instruct-Q4_K_M", 0.01, "dense"),
        ("Qwen2.5-Coder-1.5B-Instruct-Q4_K_M", 0.001, "text"),
        ("Qwen2.5-1.5B", 0.01, "text"),
    ],
)
def test_auto_reads_slots_without_maps_of_generators_with_which_they_were_measured(
    tmp_path: Path, hub: ModelHub, monkeypatch: pytest.MonkeyPatch, name: str, seconds: float, wanted: str
) -> None:
    monkeypatch.setattr(
        fast_runtime, "fastest_of", lambda passes, n_rounds: [seconds * n_rows for _, n_rows in passes]
    )
    named = save_tiny_model(tmp_path / name).path
    assert load(named, hub, memories="auto").preferred_context == wanted


def test_without_a_checkpoint_the_generator_is_plain_and_text_is_used(folder: Path, hub: ModelHub) -> None:
    bundle = load(folder, hub, checkpoint="none")
    assert bundle.fuser is None
    assert (bundle.preferred_context, bundle.notes) == ("text", ())


def test_our_runtime_says_what_transformers_modules_say(loaded: LoadedModel) -> None:
    prompt = Prompt(tuple(loaded.tokenizer.encode("def add(first, second):\n    return")))
    expected = HfGenerator(loaded).generate(prompt, StopRule(8), NeverCancelled())
    session = FastRuntime(loaded.model, Weights.PLAIN)
    actual = HfGenerator(loaded, None, session).generate(prompt, StopRule(8), NeverCancelled())
    assert actual.text == expected.text


def test_a_bundle_runs_on_our_runtime_on_the_cpu(folder: Path, hub: ModelHub) -> None:
    bundle = load_bundle(str(folder), "cpu", 0, "static", "auto", hub)
    assert isinstance(bundle.generator._session, FastRuntime)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("memories", "keeps_module", "emptied"),
    [("slots", False, True), ("auto", False, True), ("vectors", False, False), ("slots", True, False)],
)
def test_the_module_is_given_up_where_none_reads_it(
    folder: Path,
    hub: ModelHub,
    monkeypatch: pytest.MonkeyPatch,
    memories: str,
    keeps_module: bool,
    emptied: bool,
) -> None:
    """Not where vectors are fused with its layers."""
    given_up: list[FastRuntime] = []
    monkeypatch.setattr(FastRuntime, "empty", lambda self, _model: given_up.append(self))
    bundle = load_bundle(str(folder), "cpu", 1, "static", "auto", hub, memories, keeps_module=keeps_module)
    assert given_up == [bundle.generator._session] * emptied  # type: ignore[attr-defined]

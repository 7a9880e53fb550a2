"""Backbone and adapters: the generator's own layers, borrowed without a trace."""

import copy
from pathlib import Path

import pytest
import torch
from tiny_models import load_tiny_model
from transformers import GPT2Config, GPT2LMHeadModel

from model.errors import CheckpointMismatch
from model.layers import Adapters, Backbone, causal_mask, fill_normal
from model.loading import LoadedModel

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return load_tiny_model(tmp_path_factory.mktemp("model") / request.param, request.param)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(0, 300, (3, 11), generator=torch.Generator().manual_seed(0))


def whole(loaded: LoadedModel) -> Backbone:
    return Backbone.of(loaded.model, 2)


def stirred_adapters(backbone: Backbone, rank: int = 3) -> Adapters:
    adapters = Adapters(backbone, rank, 6.0, TARGETS)
    for name, parameter in adapters.named_parameters():
        fill_normal(parameter, 0.3, 1, name)
    return adapters


@torch.no_grad()
def run(backbone: Backbone, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    return backbone.run(backbone.embed_tokens(ids), mask)


def test_all_layers_give_what_the_generator_gives(loaded: LoadedModel, ids: torch.Tensor) -> None:
    decoder = loaded.model.model
    with torch.no_grad():
        expected = decoder(ids).last_hidden_state
        torch.testing.assert_close(decoder.norm(run(whole(loaded), ids)), expected)


def test_lower_layers_are_the_generators_hidden_states(loaded: LoadedModel, ids: torch.Tensor) -> None:
    with torch.no_grad():
        expected = loaded.model(ids, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(run(Backbone.of(loaded.model, 1), ids), expected)


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_absent_positions_have_no_effect_wherever_they_are(
    loaded: LoadedModel, ids: torch.Tensor, kind: str
) -> None:
    loaded.model.set_attn_implementation(kind)
    try:
        backbone = whole(loaded)
        mask = torch.ones_like(ids, dtype=torch.bool)
        mask[0, :3] = mask[1, 4:7] = mask[2, 9:] = False
        states = run(backbone, ids, mask)
        for row in range(3):
            alone = run(backbone, ids[row : row + 1, mask[row]])
            torch.testing.assert_close(states[row : row + 1, mask[row]], alone, atol=1e-5, rtol=1e-5)
        other = ids.clone()
        other[~mask] = 7
        assert torch.equal(run(backbone, other, mask)[mask], states[mask])
    finally:
        loaded.model.set_attn_implementation("sdpa")


def test_a_row_without_any_position_is_finite(loaded: LoadedModel, ids: torch.Tensor) -> None:
    assert run(whole(loaded), ids, torch.zeros_like(ids, dtype=torch.bool)).isfinite().all()


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_each_position_sees_itself_and_the_present_before_it(kind: str) -> None:
    """Itself even where absent: torch before 2.5 gives NaN for a row that sees nothing."""
    mask = causal_mask(torch.tensor([[False, True, False, True]]), kind, torch.float32)[0, 0]
    seen = mask if kind == "sdpa" else mask == 0
    expected = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]], dtype=torch.bool)
    assert torch.equal(seen, expected)


def test_adapters_add_the_product_of_their_matrices(loaded: LoadedModel, ids: torch.Tensor) -> None:
    """Against a plain reference: a copy of the model with the products added to its weights."""
    backbone = whole(loaded)
    adapters = stirred_adapters(backbone)
    merged = copy.deepcopy(loaded.model)
    for layer, pairs in zip(merged.model.layers, adapters.layers, strict=True):
        for name, pair in pairs.items():  # type: ignore[operator]
            getattr(layer.self_attn, name).weight += 2.0 * (pair.up @ pair.down).detach()
    with adapters.applied(backbone):
        adapted = run(backbone, ids)
    torch.testing.assert_close(adapted, run(Backbone.of(merged, 2), ids), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(adapted, run(backbone, ids), atol=1e-2)


def test_adapters_at_zero_change_nothing(loaded: LoadedModel, ids: torch.Tensor) -> None:
    backbone = whole(loaded)
    adapters = stirred_adapters(backbone)
    for name, parameter in adapters.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.zeros_(parameter)
    with adapters.applied(backbone):
        assert torch.equal(run(backbone, ids), run(Backbone.of(loaded.model, 2), ids))


def test_generator_never_sees_the_adapters_even_after_an_error(
    loaded: LoadedModel, ids: torch.Tensor
) -> None:
    with torch.no_grad():
        before = loaded.model(ids).logits
        backbone = whole(loaded)
        with pytest.raises(RuntimeError, match="on purpose"), stirred_adapters(backbone).applied(backbone):
            assert not torch.equal(loaded.model(ids).logits, before)
            raise RuntimeError("on purpose")
        assert torch.equal(loaded.model(ids).logits, before)


def test_hooks_are_removed_where_applying_fails_half_way(loaded: LoadedModel, ids: torch.Tensor) -> None:
    backbone = whole(loaded)
    adapters = stirred_adapters(backbone)
    adapters.layers[1]["no_such_map"] = torch.nn.Identity()  # type: ignore[index]
    before = run(backbone, ids)
    with pytest.raises(CheckpointMismatch, match="no_such_map"), adapters.applied(backbone):
        pass
    assert torch.equal(run(backbone, ids), before)


def test_rank_zero_has_no_parameters(loaded: LoadedModel) -> None:
    assert list(Adapters(whole(loaded), 0, 1.0, TARGETS).parameters()) == []


def test_an_unknown_map_is_named_with_those_there_are(loaded: LoadedModel) -> None:
    with pytest.raises(CheckpointMismatch, match=r"no linear map 'query'.*q_proj"):
        Adapters(whole(loaded), 2, 1.0, ("query",))


def test_a_map_that_is_not_linear_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(CheckpointMismatch, match="cannot be adapted"):
        Adapters(whole(loaded), 2, 1.0, ("input_layernorm",))


def test_backbone_shares_and_freezes_the_generators_weights(loaded: LoadedModel) -> None:
    loaded.model.requires_grad_(True)
    backbone = whole(loaded)
    assert backbone.layers[0] is loaded.model.model.layers[0]
    assert not any(p.requires_grad for p in loaded.model.model.layers.parameters())
    assert not backbone.embed_tokens.weight.requires_grad


def test_too_few_layers_are_said(loaded: LoadedModel) -> None:
    with pytest.raises(CheckpointMismatch, match="uses 3 layers, the generator has 2"):
        Backbone.of(loaded.model, 3)


def test_another_layout_is_refused_by_name() -> None:
    config = GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=16, n_positions=8)
    with pytest.raises(CheckpointMismatch, match=r"GPT2LMHeadModel has no model.embed_tokens"):
        Backbone.of(GPT2LMHeadModel(config), 1)


def test_attention_that_takes_no_mask_is_refused(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded.model.config, "_attn_implementation_internal", "flex_attention")
    with pytest.raises(CheckpointMismatch, match="flex_attention"):
        Backbone.of(loaded.model, 1)


def test_token_norm_is_the_mean_length(
    tmp_path: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.layers._NORM_BLOCK_ROWS", 7)
    weight = loaded.model.get_input_embeddings().weight.detach()
    assert whole(loaded).token_norm() == pytest.approx(float(weight.norm(dim=1).mean()), rel=1e-5)


def test_seeded_values_are_the_same_on_every_machine_and_in_any_order() -> None:
    first, second = torch.empty(2, 2), torch.empty(2, 2)
    torch.manual_seed(5)
    fill_normal(first, 1.0, 0, "a")
    fill_normal(second, 1.0, 0, "b")
    again = torch.empty(2, 2)
    fill_normal(again, 1.0, 0, "a")
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    fill_normal(again, 1.0, 1, "a")
    assert not torch.equal(first, again)

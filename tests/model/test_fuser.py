"""The fuser against plain references, and what must have no effect: padding, batching, absent children."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from dense_parts import DIMENSION, MAX_CHILDREN, N_VECTORS, TEXTS, dense_parts, random_children, stir
from tiny_models import load_tiny_model

from model import fuser as fuser_module
from model.embedder import sif_weights
from model.fuser import FuserConfig, HefFuser
from model.loading import LoadedModel
from model.protocols import FloatArray, Fuser

CLOSE = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return load_tiny_model(tmp_path_factory.mktemp("model") / request.param, request.param)


@pytest.fixture
def fuser(loaded: LoadedModel) -> HefFuser:
    """As if trained: no parameter is zero."""
    made, _ = dense_parts(loaded)
    stir(made)
    return made


def plain_states(loaded: LoadedModel, fuser: HefFuser, inputs: torch.Tensor, n_layers: int) -> torch.Tensor:
    """One sequence ``[S, H]`` through the library's own forward pass, adapters merged into a copy."""
    model = copy.deepcopy(loaded.model)
    for layer, pairs in zip(model.model.layers, fuser.adapters.layers, strict=False):
        for name, pair in pairs.items():  # type: ignore[operator]
            getattr(layer.self_attn, name).weight += 2.0 * (pair.up @ pair.down).detach()
    del model.model.layers[n_layers:]
    model.config.num_hidden_layers = n_layers
    model.model.norm = torch.nn.Identity()
    with torch.no_grad():
        states = model.model(inputs_embeds=inputs[None]).last_hidden_state[0, -N_VECTORS:]
        return fuser.norm(states)


def plain_pool(loaded: LoadedModel, ids: torch.Tensor) -> torch.Tensor:
    """The weighted means of M runs of tokens, one by one."""
    table = loaded.model.model.embed_tokens.weight.detach()
    weights = torch.from_numpy(sif_weights(len(table)))
    pooled = torch.zeros(N_VECTORS, table.shape[1])
    for place, token in enumerate(ids.tolist()):
        pooled[place * N_VECTORS // len(ids)] += weights[token] * (table[token] - table.mean(0))
    length = pooled.square().mean(1, keepdim=True).sqrt()
    return torch.where(length > 0, pooled / length.clamp(min=1e-20), pooled)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_encode_equals_the_plain_forward_pass(loaded: LoadedModel, n_layers: int) -> None:
    fuser, _ = dense_parts(loaded, n_layers=n_layers)
    stir(fuser)
    encoded = fuser.encode(TEXTS)
    assert encoded.shape == (len(TEXTS), N_VECTORS, DIMENSION)
    assert encoded.dtype == np.float32
    for text, vectors in zip(TEXTS, encoded, strict=True):
        ids = torch.tensor(loaded.tokenizer.encode(text)[:40], dtype=torch.long)
        inputs = torch.cat([loaded.model.model.embed_tokens(ids), fuser.chunk_memory.detach()])
        with torch.no_grad():
            states = plain_states(loaded, fuser, inputs, n_layers)
            expected = fuser.lower(states + plain_pool(loaded, ids))
        np.testing.assert_allclose(vectors, expected.numpy(), **CLOSE)


def test_fuse_equals_the_plain_forward_pass(loaded: LoadedModel, fuser: HefFuser) -> None:
    children = random_children(2, 3)
    fused = fuser.fuse(children, np.ones((2, 3), dtype=bool))
    assert fused.shape == (2, N_VECTORS, DIMENSION)
    assert fused.dtype == np.float32
    for row, vectors in zip(children, fused, strict=True):
        with torch.no_grad():
            lifted = fuser.lift(torch.from_numpy(row)) * fuser.lift_gain + fuser.slots[:3, None]
        inputs = torch.cat([lifted.flatten(0, 1), fuser.parent_memory.detach()])
        with torch.no_grad():
            change = plain_states(loaded, fuser, inputs, 2) @ fuser.lower.weight.T
        np.testing.assert_allclose(vectors, row.mean(0) + change.numpy(), **CLOSE)


def test_a_batch_equals_its_texts_one_by_one(fuser: HefFuser) -> None:
    together = fuser.encode(TEXTS)
    for text, vectors in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(fuser.encode([text])[0], vectors, **CLOSE)


def test_many_small_batches_equal_one(fuser: HefFuser, monkeypatch: pytest.MonkeyPatch) -> None:
    together = fuser.encode(TEXTS)
    monkeypatch.setattr(fuser_module, "CPU_BATCH_POSITIONS", 1)
    np.testing.assert_allclose(fuser.encode(TEXTS), together, **CLOSE)


def test_a_batch_equals_its_parents_one_by_one(fuser: HefFuser) -> None:
    children = random_children(4, MAX_CHILDREN)
    mask = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], dtype=bool)
    together = fuser.fuse(children, mask)
    for row in range(4):
        alone = fuser.fuse(children[row : row + 1], mask[row : row + 1])[0]
        np.testing.assert_allclose(alone, together[row], **CLOSE)


@pytest.mark.parametrize("garbage", [0.0, 1e30, np.nan, np.inf])
def test_absent_children_have_no_effect_whatever_they_hold(fuser: HefFuser, garbage: float) -> None:
    children = random_children(3, MAX_CHILDREN)
    mask = np.array([[1, 1, 0, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], dtype=bool)
    expected = fuser.fuse(children, mask)
    spoilt = children.copy()
    spoilt[~mask] = garbage
    result = fuser.fuse(spoilt, mask)
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result, expected)


def test_absent_children_leave_no_place_behind(fuser: HefFuser) -> None:
    """Slots count the present ones: a gap equals no gap, and padding slots equal none."""
    children = random_children(1, MAX_CHILDREN)
    gaps = np.array([[True, False, True, False, True]])
    dense = np.ones((1, 3), dtype=bool)
    np.testing.assert_array_equal(fuser.fuse(children, gaps), fuser.fuse(children[:, ::2], dense))


def test_a_parent_of_no_children_is_finite(fuser: HefFuser) -> None:
    assert np.isfinite(fuser.fuse(random_children(1, 2), np.zeros((1, 2), dtype=bool))).all()
    assert np.isfinite(fuser.fuse(random_children(1, 0), np.zeros((1, 0), dtype=bool))).all()


def test_nothing_in_gives_nothing_out(fuser: HefFuser) -> None:
    assert fuser.encode([]).shape == (0, N_VECTORS, DIMENSION)
    empty = fuser.fuse(random_children(0, 3), np.zeros((0, 3), dtype=bool))
    assert empty.shape == (0, N_VECTORS, DIMENSION)


def test_content_and_order_of_children_matter(fuser: HefFuser) -> None:
    children, mask = random_children(1, 2), np.ones((1, 2), dtype=bool)
    assert not np.allclose(fuser.fuse(children, mask), fuser.fuse(children[:, ::-1], mask), atol=1e-2)
    assert not np.allclose(*fuser.encode(TEXTS[:2]), atol=1e-2)


def test_text_past_the_limit_is_cut(loaded: LoadedModel, fuser: HefFuser) -> None:
    tokenizer = loaded.tokenizer
    long = "value = first + second\n" * 50
    cut = tokenizer.decode(tokenizer.encode(long)[:40])
    assert tokenizer.encode(cut) == tokenizer.encode(long)[:40]
    np.testing.assert_allclose(fuser.encode([long]), fuser.encode([cut]), **CLOSE)


def test_odd_texts_are_encoded(fuser: HefFuser) -> None:
    odd = ["\x00\x01", "\ud800 lone", "<|endoftext|>", "漢字 🎉", "\r\n\x0c\u2028"]
    assert np.isfinite(fuser.encode(odd)).all()


def test_too_many_children_are_refused_and_absent_ones_do_not_count(fuser: HefFuser) -> None:
    children = random_children(1, MAX_CHILDREN + 1)
    mask = np.ones((1, MAX_CHILDREN + 1), dtype=bool)
    with pytest.raises(
        ValueError, match=f"{MAX_CHILDREN + 1} children in one parent, at most {MAX_CHILDREN}"
    ):
        fuser.fuse(children, mask)
    mask[0, 0] = False
    assert fuser.fuse(children, mask).shape == (1, N_VECTORS, DIMENSION)


def test_wrong_shapes_are_named(fuser: HefFuser) -> None:
    with pytest.raises(AssertionError, match="children"):
        fuser.fuse(random_children(1, 2)[..., :-1], np.ones((1, 2), dtype=bool))
    with pytest.raises(AssertionError, match="mask"):
        fuser.fuse(random_children(1, 2), np.ones((1, 3), dtype=bool))


def test_padding_ids_may_be_anything(fuser: HefFuser) -> None:
    ids = torch.tensor([[5, 6, 10**6, -100], [8, 9, 10, 11]])
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    with torch.no_grad():
        first = fuser.encode_states(ids, mask)
        second = fuser.encode_states(torch.where(mask, ids, 3), mask)
    assert torch.equal(first, second)


def test_untrained_adapters_leave_the_generators_own_layers(loaded: LoadedModel) -> None:
    with_adapters, _ = dense_parts(loaded)
    without, _ = dense_parts(loaded, lora_rank=0)
    np.testing.assert_array_equal(with_adapters.encode(TEXTS), without.encode(TEXTS))


def test_encoding_leaves_the_generator_as_it_was(loaded: LoadedModel, fuser: HefFuser) -> None:
    ids = torch.tensor([[4, 5, 6]])
    with torch.no_grad():
        before = loaded.model(ids).logits
        fuser.encode(TEXTS)
        assert torch.equal(loaded.model(ids).logits, before)


def test_state_holds_what_is_learned_and_no_weight_of_the_generator(
    loaded: LoadedModel, fuser: HefFuser
) -> None:
    assert not any("embed" in name or "mlp" in name for name in fuser.state_dict())
    learned = {p.data_ptr() for p in fuser.parameters()}
    assert learned.isdisjoint(p.data_ptr() for p in loaded.model.parameters())


def test_runs_of_a_text_shorter_than_the_vectors_are_empty_but_finite(
    loaded: LoadedModel, fuser: HefFuser
) -> None:
    pool = fuser.pool
    ids = torch.tensor([[11, 12, 0, 0, 0], [0, 0, 0, 0, 0]])
    mask = torch.tensor([[True, True, False, False, False], [False] * 5])
    pooled = pool(ids, mask, loaded.model.model.embed_tokens(ids))
    assert pooled[1].abs().sum() == 0
    assert (pooled[0].abs().sum(1) > 0).tolist() == [True, False, True, False]
    assert torch.isfinite(pooled).all()


def test_padding_on_either_side_changes_no_run(loaded: LoadedModel, fuser: HefFuser) -> None:
    ids = torch.arange(20, 29)
    table = loaded.model.model.embed_tokens
    alone = fuser.pool(ids[None], torch.ones(1, 9, dtype=torch.bool), table(ids[None]))
    padded = torch.cat([torch.full((4,), 7), ids, torch.full((3,), 9)])[None]
    mask = torch.tensor([[False] * 4 + [True] * 9 + [False] * 3])
    assert torch.allclose(fuser.pool(padded, mask, table(padded)), alone, atol=1e-6)


def test_untrained_vectors_are_of_unit_size_a_number(loaded: LoadedModel) -> None:
    """So that float16 holds them and the lift makes inputs as long as tokens."""
    fuser, _ = dense_parts(loaded)
    size = float(np.sqrt(np.mean(fuser.encode(TEXTS) ** 2)))
    assert 0.5 < size < 2


@pytest.mark.parametrize("kind", ["chunks", "parents"])
def test_bfloat16_batches_agree_with_float32(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    loaded = load_tiny_model(tmp_path_factory.mktemp("model") / "half")
    fuser, _ = dense_parts(loaded)
    stir(fuser)
    half_loaded = replace(loaded, model=copy.deepcopy(loaded.model).to(torch.bfloat16), dtype=torch.bfloat16)
    half, _ = dense_parts(half_loaded)
    half.load_state_dict(fuser.state_dict())
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=bool)

    def compute(made: HefFuser) -> FloatArray:
        return made.encode(TEXTS) if kind == "chunks" else made.fuse(random_children(2, 5), mask)

    exact, rounded = compute(fuser), compute(half)
    assert rounded.dtype == np.float32
    cosines = (exact * rounded).sum(-1) / np.linalg.norm(exact, axis=-1) / np.linalg.norm(rounded, axis=-1)
    assert cosines.min() > 0.99


def test_fuser_satisfies_the_protocol(fuser: HefFuser) -> None:
    as_protocol: Fuser = fuser
    assert (as_protocol.n_vectors, as_protocol.dimension) == (N_VECTORS, DIMENSION)
    assert as_protocol.max_children == MAX_CHILDREN
    assert as_protocol.model_id.startswith("hef-")


@pytest.mark.parametrize("wrong", [{"n_vectors": 0}, {"lora_rank": -1}, {"token_norm": float("nan")}])
def test_impossible_sizes_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        FuserConfig(**({"hidden_size": 8, "token_norm": 1.0} | wrong))  # type: ignore[arg-type]

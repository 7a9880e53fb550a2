"""The projector: budgets, order, masks, lengths; and gradients through the whole dense side."""

import numpy as np
import pytest
import torch
from dense_parts import dense_parts, stir
from tiny_models import load_tiny_model

from model.fuser import HefFuser
from model.loading import LoadedModel
from model.projector import HefProjector, ProjectorConfig, fit_budget
from model.protocols import FloatArray, Projector

M, D, H, TOKEN_NORM = 8, 6, 12, 3.2
CONFIG = ProjectorConfig(H, TOKEN_NORM, n_vectors=M, dimension=D, width=10, n_ranks=4)


@pytest.fixture
def projector() -> HefProjector:
    """As if trained."""
    torch.set_num_threads(1)
    made = HefProjector(CONFIG)
    made.reset(0)
    stir(made)
    return made


def vectors(n_nodes: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n_nodes, M, D)).astype(np.float32)


@pytest.mark.parametrize(
    ("n_nodes", "budget", "n_tokens"),
    [
        (6, 0, 0), (6, -1, 0), (6, 1, 1), (6, 3, 2), (6, 4, 4), (6, 7, 4), (6, 8, 8), (6, 15, 8),
        (6, 16, 16), (6, 48, 48), (6, 500, 48), (2, 48, 16), (1, 4, 4), (0, 48, 0), (0, 0, 0),
    ],
)  # fmt: skip
def test_tokens_for_a_budget(projector: HefProjector, n_nodes: int, budget: int, n_tokens: int) -> None:
    pseudo = projector.project(vectors(n_nodes), [0] * n_nodes, budget)
    assert pseudo.shape == (n_tokens, H)
    assert pseudo.dtype == np.float32
    assert np.isfinite(pseudo).all()


@pytest.mark.parametrize(
    ("n_vectors", "budget", "expected"), [(6, 5, (1, 3)), (7, 6, (1, 1)), (1, 5, (5, 1))]
)
def test_groups_are_equal(n_vectors: int, budget: int, expected: tuple[int, int]) -> None:
    assert fit_budget(n_vectors, budget) == expected


def test_the_best_node_stands_last_and_the_worst_is_cut_first(projector: HefProjector) -> None:
    nodes, levels = vectors(3), [0, 2, 4]
    best = projector.project(nodes[:1], levels[:1], 48)
    everything = projector.project(nodes, levels, 48)
    np.testing.assert_allclose(everything[-M:], best, atol=1e-5)
    np.testing.assert_allclose(projector.project(nodes, levels, 2 * M), everything[M:], atol=1e-5)


def test_vectors_within_a_node_keep_their_order(projector: HefProjector) -> None:
    node = vectors(1)
    forward, backward = (projector.project(n, [0], M) for n in (node, node[:, ::-1]))
    np.testing.assert_allclose(forward[::-1], backward, atol=1e-5)


def test_under_one_node_the_best_is_pooled_in_equal_groups(projector: HefProjector) -> None:
    nodes = vectors(2)
    pooled = np.repeat(nodes[:1].reshape(1, 4, 2, D).mean(axis=2), 2, axis=1)
    expected = projector.project(pooled, [0], M)[::2]
    np.testing.assert_allclose(projector.project(nodes, [0, 0], 4), expected, atol=1e-5)


def test_untrained_pseudo_tokens_are_as_long_as_tokens_and_not_alike() -> None:
    made = HefProjector(CONFIG)
    made.reset(0)
    pseudo = made.project(vectors(3), [0, 1, 2], 48)
    np.testing.assert_allclose(np.linalg.norm(pseudo, axis=1), TOKEN_NORM, rtol=1e-3)
    assert len(np.unique(pseudo.round(4), axis=0)) == len(pseudo)


def test_untrained_map_keeps_likeness() -> None:
    config = ProjectorConfig(64, 1.0, n_vectors=M, dimension=32, width=256)
    made = HefProjector(config)
    made.reset(0)
    source = np.random.default_rng(0)
    here = source.standard_normal((1, M, 32)).astype(np.float32)
    near = here + 0.3 * source.standard_normal((1, M, 32)).astype(np.float32)
    far = source.standard_normal((1, M, 32)).astype(np.float32)
    a, b, c = (made.project(x, [0], M) for x in (here, near, far))
    assert ((a * b).sum(-1) > (a * c).sum(-1) + 0.2).all()


def test_level_and_rank_matter_once_trained(projector: HefProjector) -> None:
    node = vectors(1)
    assert not np.allclose(projector.project(node, [0], M), projector.project(node, [3], M), atol=1e-3)
    twice = projector.project(np.concatenate([node, node]), [0, 0], 2 * M)
    assert not np.allclose(twice[:M], twice[M:], atol=1e-3)


def test_more_nodes_than_learned_ranks_share_the_last(projector: HefProjector) -> None:
    same = np.repeat(vectors(1), 7, axis=0)
    pseudo = projector.project(same, [0] * 7, 7 * M).reshape(7, M, H)
    np.testing.assert_allclose(pseudo[0], pseudo[3], atol=1e-5)
    assert not np.allclose(pseudo[3], pseudo[4], atol=1e-3)


@pytest.mark.parametrize("budget", [4, 16, 48])
def test_masked_nodes_give_nothing_and_take_no_rank(projector: HefProjector, budget: int) -> None:
    nodes = torch.from_numpy(np.stack([vectors(4, seed) for seed in range(3)]))
    levels = torch.tensor([[0, 1, 2, 3]] * 3)
    mask = torch.tensor(
        [[True, False, True, True], [False, False, False, False], [False, False, True, False]]
    )
    nodes[~mask] = torch.nan
    with torch.no_grad():
        pseudo = projector(nodes, levels, mask, budget)
    assert pseudo.tokens.isfinite().all()
    assert (pseudo.tokens[~pseudo.mask] == 0).all()
    for row in range(3):
        there = mask[row]
        alone = projector.project(nodes[row, there].numpy(), levels[row, there].tolist(), budget)
        np.testing.assert_allclose(pseudo.tokens[row, pseudo.mask[row]].numpy(), alone, atol=1e-5)
        assert not pseudo.mask[row].int().diff().lt(0).any(), "what is present stands at the end"


def test_levels_out_of_range_and_of_wrong_number_are_refused(projector: HefProjector) -> None:
    with pytest.raises(ValueError, match="levels are 0"):
        projector.project(vectors(1), [5], 8)
    with pytest.raises(ValueError, match="levels are 0"):
        projector.project(vectors(1), [-1], 8)
    with pytest.raises(ValueError, match="1 levels for 2 nodes"):
        projector.project(vectors(2), [0], 8)


def test_vectors_of_another_width_are_named(projector: HefProjector) -> None:
    with pytest.raises(AssertionError, match="vectors"):
        projector.project(vectors(1)[..., :-1], [0], 8)


def test_half_precision_vectors_are_taken(projector: HefProjector) -> None:
    stored = vectors(2).astype(np.float16)
    pseudo = projector.project(stored, [0, 1], 16)  # type: ignore[arg-type]
    np.testing.assert_allclose(pseudo, projector.project(stored.astype(np.float32), [0, 1], 16))


@pytest.mark.filterwarnings("error")
def test_read_only_vectors_of_a_store_are_taken(projector: HefProjector) -> None:
    stored = np.frombuffer(vectors(1).tobytes(), dtype=np.float32).reshape(1, M, D)
    np.testing.assert_array_equal(projector.project(stored, [0], M), projector.project(vectors(1), [0], M))


def test_projector_satisfies_the_protocol(projector: HefProjector) -> None:
    as_protocol: Projector = projector
    assert as_protocol.model_id == "hef-unsaved"


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny_model(tmp_path_factory.mktemp("model") / request.param, request.param)


def whole_path(loaded: LoadedModel, fuser: HefFuser, projector: HefProjector) -> torch.Tensor:
    """Chunks -> parent -> pseudo-tokens -> the generator's likelihood of a next token."""
    ids, present = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[True] * 3, [True, True, False]])
    chunks = fuser.encode_states(ids, present)
    parent = fuser.fuse_states(chunks[None], torch.tensor([[True, True]]))
    nodes = torch.cat([chunks, parent])[None]
    pseudo = projector(nodes, torch.tensor([[0, 0, 2]]), torch.ones(1, 3, dtype=torch.bool), 12)
    code = loaded.model.get_input_embeddings()(torch.tensor([[11, 12]]))
    logits = loaded.model(inputs_embeds=torch.cat([pseudo.tokens, code], dim=1)).logits[0, -1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(13))


def test_gradients_reach_all_that_is_learned_and_nothing_else(loaded: LoadedModel) -> None:
    fuser, projector = dense_parts(loaded)
    stir(fuser)
    stir(projector)
    whole_path(loaded, fuser, projector).backward()
    for module in (fuser, projector):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


def test_untrained_adapters_and_places_can_leave_zero(loaded: LoadedModel) -> None:
    """Zero at the start must not mean zero for ever."""
    fuser, projector = dense_parts(loaded)
    whole_path(loaded, fuser, projector).backward()
    ups = [p.grad for name, p in fuser.adapters.named_parameters() if name.endswith(".up")]
    for grad in (*ups, fuser.slots.grad, projector.levels.grad, projector.ranks.grad, projector.gain.grad):
        assert grad is not None
        assert grad.abs().sum() > 0


def test_absent_children_get_no_gradient_and_spoil_none(loaded: LoadedModel) -> None:
    fuser, _ = dense_parts(loaded)
    children = torch.randn(1, 3, 4, 16)
    children[0, 1] = torch.nan
    children.requires_grad_(True)
    fuser.fuse_states(children, torch.tensor([[True, False, True]])).square().sum().backward()
    assert children.grad is not None
    assert (children.grad[0, 1] == 0).all()
    assert children.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fuser.parameters())

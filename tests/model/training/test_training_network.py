"""The network that is trained computes what the product's modules compute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import load_tiny_model

from model.bundle import adapted
from model.checkpoint import build_modules, load_checkpoint, save_checkpoint
from model.errors import CheckpointMismatch, ModelCorrupt
from model.fuser import FuserConfig, HefFuser
from model.layers import Backbone
from model.projector import ProjectorConfig
from model.training.assessment import with_adapter
from model.training.batches import Batch, Example, Sizes, make_batch
from model.training.lean import MAPS, LeanModel, LowRankLayers, run
from model.training.network import Network, NetworkConfig
from model.training.objective import Terms, _leaves, divergence, objective, structure_loss
from model.training.remote import start_from
from model.training.results import checkpoint_of, learned, read_pieces, write_pieces

SIZES = Sizes(n_rows=3, text=40, target=8, n_nodes=3, chunk=24, n_memory=4, n_children=3)


def _randomised(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture
def model(tmp_path: Path) -> torch.nn.Module:
    return load_tiny_model(tmp_path / "tiny").model


def _network(model: torch.nn.Module) -> Network:
    fuser = FuserConfig(
        32,
        1.0,
        n_vectors=4,
        dimension=16,
        n_layers=1,
        max_children=3,
        lora_rank=4,
        lora_alpha=8.0,
        lora_targets=MAPS,
    )
    projector = ProjectorConfig(32, 1.0, n_vectors=4, dimension=16, width=24)
    network = Network(LeanModel.of(model, torch.float32), NetworkConfig(fuser, projector, 4, 8.0))
    _randomised(network)
    return network


def _examples() -> list[Example]:
    source = torch.Generator().manual_seed(2)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, 300, (n,), generator=source).tolist())

    return [
        Example(ids(20), ids(6), (1.0,) * 6, (ids(10), ids(20), ids(7)), (0, 0, 1), (ids(5), ids(9)), 2),
        Example(ids(30), ids(8), (1.0, 0.5) * 4, (ids(12),), (0,)),
        Example(ids(3), ids(2), (1.0, 1.0)),
    ]


@pytest.fixture
def batch() -> Batch:
    return make_batch("parents", _examples(), SIZES)


def test_the_plain_functions_equal_the_modules_of_transformers(model: torch.nn.Module) -> None:
    lean = LeanModel.of(model, torch.float32)
    ids = torch.randint(5, 300, (2, 19), generator=torch.Generator().manual_seed(0))
    expected = model(input_ids=ids).logits
    actual = lean.logits(run(lean, lean.embedding[ids], lean.layers, ()))
    assert torch.allclose(actual, expected, atol=1e-4)


def test_an_adapter_beside_the_maps_equals_one_with_adapter_them(model: torch.nn.Module) -> None:
    lean = LeanModel.of(model, torch.float32)
    adapter = LowRankLayers(lean.layers, 4, 8.0)
    _randomised(adapter)
    x = torch.randn(2, 11, 32, generator=torch.Generator().manual_seed(0))
    beside = run(lean, x, lean.layers, adapter.pairs(torch.float32))
    merged = run(lean, x, adapter.merged(lean.layers), ())
    assert torch.allclose(beside, merged, atol=1e-4)
    assert not torch.allclose(beside, run(lean, x, lean.layers, ()), atol=1e-2)


def test_merging_leaves_the_model_as_it_was(model: torch.nn.Module) -> None:
    lean = LeanModel.of(model, torch.float32)
    adapter = LowRankLayers(lean.layers, 4, 8.0)
    _randomised(adapter)
    ids = torch.arange(5, 25)[None]
    before = model(input_ids=ids).logits
    merged = with_adapter(model, adapter)(input_ids=ids).logits
    states = run(lean, lean.embedding[ids], lean.layers, adapter.pairs(torch.float32))
    assert torch.allclose(merged, lean.logits(states), atol=1e-3)
    assert torch.equal(model(input_ids=ids).logits, before)


def _product_fuser(network: Network, model: torch.nn.Module) -> HefFuser:
    """The product's fuser with the values of `network`, over the generator with its adapter merged in."""
    model = with_adapter(model, network.decoder_adapter)
    config = replace(network.config.fuser, max_tokens=SIZES.chunk - SIZES.n_memory)
    fuser = HefFuser(config, Backbone.of(model, 1), lambda texts: [list(map(ord, text)) for text in texts])
    values = dict(network.fuser.state_dict())
    tensors = network.fuser_adapter.named_tensors()
    fuser.load_state_dict(values | {f"adapters.{name}": tensor for name, tensor in tensors.items()})
    return fuser


def test_vectors_and_pseudo_tokens_equal_those_of_the_product(model: torch.nn.Module, batch: Batch) -> None:
    network = _network(model)
    with torch.no_grad():
        vectors = network.vectors(batch)
        fuser = _product_fuser(network, model)
        first = _examples()[0]
        for slot in (0, 1):
            chunk = torch.tensor([first.chunks[slot]])
            expected = fuser.encode_states(chunk, torch.ones_like(chunk, dtype=torch.bool))
            assert torch.allclose(vectors[0, slot], expected[0], atol=1e-3)
        parts = [torch.tensor([child]) for child in first.children]
        children = torch.cat([fuser.encode_states(p, torch.ones_like(p, dtype=torch.bool)) for p in parts])
        expected = fuser.fuse_states(children[None], torch.ones(1, 2, dtype=torch.bool))
        assert torch.allclose(vectors[0, 2], expected[0], atol=1e-3)
        tokens, counts = network.pseudo_tokens(vectors, batch)
    assert counts.tolist() == [12, 4, 0]
    one = network.projector(vectors[1:2, :1], batch.levels[1:2, :1], batch.present[1:2, :1], 4).tokens
    assert torch.allclose(tokens[1, -4:], one[0], atol=1e-5)


def test_losses_equal_a_row_by_row_reference(model: torch.nn.Module, batch: Batch) -> None:
    network = _network(model)
    with torch.no_grad():
        tokens, counts = network.pseudo_tokens(network.vectors(batch), batch)
        losses = network.losses(batch, tokens, counts)
        model = with_adapter(model, network.decoder_adapter)
        embed = model.get_input_embeddings()
        for row, example in enumerate(_examples()):
            text = embed(torch.tensor([*example.prompt, *example.target]))
            whole = torch.cat([tokens[row, tokens.shape[1] - int(counts[row]) :], text])
            logits = model(inputs_embeds=whole[None]).logits[0]
            start = int(counts[row]) + len(example.prompt) - 1
            expected = torch.nn.functional.cross_entropy(
                logits[start : start + len(example.target)], torch.tensor(example.target), reduction="none"
            )
            assert torch.allclose(losses[row, : len(example.target)], expected, atol=1e-2)
            assert losses[row, len(example.target) :].abs().sum() == 0


def test_gradients_reach_everything_that_is_learned(model: torch.nn.Module, batch: Batch) -> None:
    network = _network(model)
    losses = network.losses(batch, *network.pseudo_tokens(network.vectors(batch), batch))
    (losses * batch.weights).sum().backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_nothing_is_learned_by_the_adapter_while_it_is_off(model: torch.nn.Module, batch: Batch) -> None:
    network = _network(model)
    network.adapts = False
    losses = network.losses(batch, *network.pseudo_tokens(network.vectors(batch), batch))
    (losses * batch.weights).sum().backward()
    assert network.decoder_adapter is not None
    assert all(p.grad is None for p in network.decoder_adapter.parameters())


def test_a_checkpoint_of_the_results_gives_the_same_vectors(
    tmp_path: Path, model: torch.nn.Module, batch: Batch
) -> None:
    loaded = load_tiny_model(tmp_path / "tiny")
    network = _network(loaded.model)
    with torch.no_grad():
        expected = network.vectors(batch)[0, 0].numpy()
    n_pieces = write_pieces(tmp_path, learned(network), most_bytes=6000)
    assert n_pieces > 2
    assert max(path.stat().st_size for path in tmp_path.glob("*.safetensors")) < 9000
    tensors = read_pieces(tmp_path)
    checkpoint = checkpoint_of(tensors, network.config, loaded.model_id, None, {"seed": 0}, None)
    save_checkpoint(tmp_path / "saved", checkpoint)
    checkpoint = load_checkpoint(tmp_path / "saved", loaded.model_id, loaded.hidden_size)
    merged = adapted(loaded, checkpoint)
    ids = list(_examples()[0].chunks[0])
    fuser, _ = build_modules(checkpoint, Backbone.of(merged.model, 1), lambda texts: [ids for _ in texts])
    assert np.allclose(fuser.encode(["any"])[0], expected, atol=0.05)


def test_a_missing_piece_and_numbers_not_finite_are_refused(tmp_path: Path, model: torch.nn.Module) -> None:
    network = _network(model)
    with pytest.raises(ModelCorrupt, match="lacks pieces"):
        read_pieces(tmp_path)
    write_pieces(tmp_path, learned(network), most_bytes=6000)
    (tmp_path / "weights-1.safetensors").unlink()
    with pytest.raises(ModelCorrupt, match="lacks pieces"):
        read_pieces(tmp_path)
    bad = {"fuser.slots": torch.tensor([torch.nan])}
    with pytest.raises(ModelCorrupt, match=r"not finite in fuser\.slots"):
        checkpoint_of(bad, network.config, "g", None, {}, None)


def _fresh(model: torch.nn.Module, like: Network) -> Network:
    return Network(LeanModel.of(model, torch.float32), like.config)


def test_a_start_takes_everything_over(model: torch.nn.Module, batch: Batch) -> None:
    earlier = _network(model)
    network = _fresh(model, earlier)
    tensors = learned(earlier)
    start_from(network, tensors)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in learned(network).items())
    with torch.no_grad():
        assert torch.allclose(network.vectors(batch), earlier.vectors(batch), atol=0.05)


def test_a_start_from_adapters_alone_leaves_fuser_and_projector(model: torch.nn.Module) -> None:
    earlier = _network(model)
    network = _fresh(model, earlier)
    before, tensors = learned(network), learned(earlier)
    start_from(network, tensors, everything=False)
    for name, tensor in learned(network).items():
        taken = name.startswith(("adapter.", "fuser.adapters."))
        assert torch.equal(tensor, (tensors if taken else before)[name]), name


def test_a_start_of_other_sizes_is_refused_and_changes_nothing(model: torch.nn.Module) -> None:
    earlier = _network(model)
    network = _fresh(model, earlier)
    before, tensors = learned(network), learned(earlier)
    with pytest.raises(CheckpointMismatch, match=r"projector\.gain is \(2,\), here \(\)"):
        start_from(network, tensors | {"projector.gain": torch.ones(2)})
    del tensors["fuser.slots"]
    with pytest.raises(CheckpointMismatch, match=r"fuser\.slots is missing"):
        start_from(network, tensors)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learned(network).items())


def test_the_loss_is_the_weighted_sum_of_its_parts(model: torch.nn.Module, batch: Batch) -> None:
    network = _network(model)
    told = [replace(example, told=(9, *example.prompt)) for example in _examples()]
    taught = make_batch("parents", told, replace(SIZES, told=48))
    with torch.no_grad():
        parts = objective(network, taught, Terms(structure=0.5, kl=0.25))
        losses = network.losses(batch, *network.pseudo_tokens(network.vectors(batch), batch))
        plain = objective(network, batch, Terms(structure=0.0))
    assert set(parts) == {"loss", "ce", "structure", "kl"} and set(plain) == {"loss", "ce"}
    expected = (losses * batch.weights).sum() / batch.weights.sum()
    assert torch.allclose(parts["ce"], expected, atol=1e-4) and torch.equal(plain["loss"], plain["ce"])
    assert torch.allclose(parts["loss"], parts["ce"] + 0.5 * parts["structure"] + 0.25 * parts["kl"])
    assert parts["structure"] > 0 and parts["kl"] > 0


def test_the_teacher_reads_the_text_and_is_not_taught(model: torch.nn.Module) -> None:
    """A teacher that reads what the pupil reads says the same: then there is nothing to learn."""
    network = _network(model)
    example = Example((5, 6, 7), (8, 9), (1.0, 1.0), told=(5, 6, 7))
    alike = make_batch("dense", [example], replace(SIZES, n_nodes=0, n_children=0, told=40))
    assert objective(network, alike, Terms(kl=1.0))["kl"].item() == pytest.approx(0.0, abs=1e-5)
    other = make_batch("dense", [replace(example, told=(11, 6, 7))], replace(SIZES, n_nodes=0, told=40))
    parts = objective(network, other, Terms(kl=1.0))
    with torch.no_grad():
        logits = [model_logits(network, ids) for ids in ((11, 6, 7, 8, 9), (5, 6, 7, 8, 9))]
    known, said = (torch.log_softmax(one[2:4], -1) for one in logits)
    reference = (known.exp() * (known - said)).sum(-1).mean()
    assert parts["kl"].item() == pytest.approx(reference.item(), abs=1e-4)


def model_logits(network: Network, ids: tuple[int, ...]) -> torch.Tensor:
    """Of the network's generator with its adapter, by the plain functions."""
    lean = network._model
    assert network.decoder_adapter is not None
    pairs = network.decoder_adapter.pairs(torch.float32)
    return lean.logits(run(lean, lean.embedding[torch.tensor([ids])], lean.layers, pairs))[0]


def test_divergence_against_torchs_own() -> None:
    source = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(5, 7, generator=source) for _ in range(2))
    expected = torch.nn.functional.kl_div(
        student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none"
    ).sum(-1)
    assert torch.allclose(divergence(teacher, student), expected, atol=1e-6)


def test_structure_against_a_pair_by_pair_reference() -> None:
    source = torch.Generator().manual_seed(0)
    tokens, pooled = torch.randn(4, 6, generator=source), torch.randn(4, 6, generator=source)
    cosine = torch.nn.functional.cosine_similarity
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    squares = [(cosine(tokens[i], tokens[j], 0) - cosine(pooled[i], pooled[j], 0)) ** 2 for i, j in pairs]
    assert torch.allclose(structure_loss(tokens, pooled), torch.stack(squares).mean(), atol=1e-6)
    assert float(structure_loss(2.5 * pooled, pooled)) == pytest.approx(0.0, abs=1e-6)
    assert float(structure_loss(tokens[:1], pooled[:1])) == 0.0


def test_structure_compares_leaves_with_their_own_chunks(model: torch.nn.Module, batch: Batch) -> None:
    """Wherever they stand in the padded rows; parents do not count."""
    network = _network(model)
    pooled = network.pooled(batch)
    n_rows, n_nodes, n_vectors, hidden = pooled.shape
    tokens = torch.zeros(n_rows, n_nodes * n_vectors, hidden)
    for row in range(n_rows):
        for node in range(n_nodes):
            last = (n_nodes - node) * n_vectors
            tokens[row, last - n_vectors : last] = 3.0 * pooled[row, node]
    tokens[0, :n_vectors] = 99.0  # the third node of the first row, which is a parent
    made, wanted = _leaves(tokens, pooled, batch)
    assert len(made) == 3 * n_vectors
    assert torch.allclose(made, 3.0 * wanted)


def test_fewer_pseudo_tokens_are_those_of_the_best(model: torch.nn.Module, batch: Batch) -> None:
    network = _network(model)
    with torch.no_grad():
        vectors = network.vectors(batch)
        whole, counts = network.pseudo_tokens(vectors, batch)
        few, few_counts = network.pseudo_tokens(vectors, batch, 4)
    assert counts.tolist() == [12, 4, 0] and few_counts.tolist() == [4, 4, 0]
    assert torch.allclose(few[0], whole[0, -4:], atol=1e-5)

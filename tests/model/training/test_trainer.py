"""The training loop learns, stops with its budget, and goes on where it was killed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_models import load_tiny_model

from model.fuser import FuserConfig
from model.projector import ProjectorConfig
from model.training.batches import Batch, Example, Sizes, make_batch
from model.training.lean import MAPS, LeanModel
from model.training.network import Network, NetworkConfig
from model.training.trainer import Trainer, TrainingPlan, resumed_batch

N_EXAMPLES = 8


@pytest.fixture
def network(tmp_path: Path) -> Network:
    torch.manual_seed(0)
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
    config = NetworkConfig(fuser, ProjectorConfig(32, 1.0, n_vectors=4, dimension=16, width=24), 4, 8.0)
    return Network(LeanModel.of(load_tiny_model(tmp_path / "tiny").model, torch.float32), config)


def examples() -> list[Example]:
    """The same prompt everywhere: only the vectors can say which target is right."""
    source = torch.Generator().manual_seed(2)
    made = []
    for _ in range(N_EXAMPLES):
        ids = tuple(torch.randint(5, 300, (6,), generator=source).tolist())
        made.append(Example((7, 8, 9), ids, (1.0,) * 6, (ids,), (0,)))
    return made


def batches() -> Iterator[Batch]:
    sizes = Sizes(n_rows=N_EXAMPLES, text=12, target=6, n_nodes=1, chunk=12, n_memory=4)
    batch = make_batch("dense", examples(), sizes)
    while True:
        yield batch


def loss_of(network: Network) -> float:
    batch = next(batches())
    with torch.no_grad():
        losses = network.losses(batch, *network.pseudo_tokens(network.vectors(batch), batch))
    return float(losses.mean())


def trainer(network: Network, folder: Path, minutes: float, stages: list[int] | None = None) -> Trainer:
    plan = TrainingPlan(minutes=minutes, align=0.0, decoder_lr=3e-3, fuser_lr=3e-3, projector_lr=3e-3)
    seen = [] if stages is None else stages
    return Trainer(network, batches(), seen.append, plan, folder)


def test_eight_examples_are_learned_by_heart(network: Network, tmp_path: Path) -> None:
    before = loss_of(network)
    made = trainer(network, tmp_path / "run", minutes=10.0)
    while loss_of(network) > 0.3 and made.step < 3000:
        made.run_steps(50)
    assert before > 4.0
    assert loss_of(network) < 0.3


def test_a_run_ends_with_its_budget_and_leaves_metrics(network: Network, tmp_path: Path) -> None:
    stages: list[int] = []
    made = trainer(network, tmp_path / "run", minutes=1 / 600, stages=stages)
    assert made.run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == made.step > 0
    assert rows[-1]["spent_s"] >= 0.1
    assert set(stages) == {1}


def test_a_resumed_run_is_the_run_that_was_not_stopped(network: Network, tmp_path: Path) -> None:
    start = {name: value.clone() for name, value in network.state_dict().items()}
    made = trainer(network, tmp_path / "whole", minutes=1e6)
    made.run_steps(6)
    whole = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(start)
    first = trainer(network, tmp_path / "parts", minutes=1e6)
    first.run_steps(3)
    first.save()
    network.load_state_dict(start)
    second = trainer(network, tmp_path / "parts", minutes=1e6)
    assert second.resume()
    assert (second.step, resumed_batch(tmp_path / "parts")) == (3, 3)
    second.spent_s = 0.0
    second.run_steps(3)
    for name, value in network.state_dict().items():
        assert torch.allclose(value, whole[name], atol=1e-5), name


def test_without_a_state_there_is_nothing_to_resume(network: Network, tmp_path: Path) -> None:
    assert not trainer(network, tmp_path / "none", minutes=1.0).resume()
    assert resumed_batch(tmp_path / "none") == 0


def test_the_adapter_waits_for_the_second_stage(network: Network, tmp_path: Path) -> None:
    plan = TrainingPlan(minutes=1e6, align=1.0)
    made = Trainer(network, batches(), lambda _: None, plan, tmp_path / "run")
    assert network.decoder_adapter is not None
    before = [parameter.clone() for parameter in network.decoder_adapter.parameters()]
    made.run_steps(3)
    after = list(network.decoder_adapter.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_frozen_adapter_has_no_gradients(network: Network, tmp_path: Path) -> None:
    assert network.decoder_adapter is not None
    plan = TrainingPlan(minutes=1e6, align=0.0, decoder_lr=0.0, adapts_at_once=True)
    made = Trainer(network, batches(), lambda _: None, plan, tmp_path / "run")
    before = [parameter.clone() for parameter in network.decoder_adapter.parameters()]
    made.run_steps(2)
    after = list(network.decoder_adapter.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in after)
    trained = Trainer(network, batches(), lambda _: None, TrainingPlan(), tmp_path / "other")
    assert trained.network.decoder_adapter is not None
    assert all(parameter.requires_grad for parameter in trained.network.decoder_adapter.parameters())


def test_a_batch_without_vectors_teaches_a_frozen_adapter_nothing(network: Network, tmp_path: Path) -> None:
    told = [dataclasses.replace(example, chunks=(), levels=()) for example in examples()]
    sizes = Sizes(n_rows=N_EXAMPLES, text=12, target=6, n_nodes=0, chunk=12, n_memory=4)
    plan = TrainingPlan(minutes=1e6, align=0.0, decoder_lr=0.0, adapts_at_once=True)
    drawn = iter([make_batch("text", told, sizes), next(batches()), make_batch("text", told, sizes)])
    made = Trainer(network, drawn, lambda _: None, plan, tmp_path / "run")
    before = [parameter.clone() for parameter in network.parameters()]

    def is_unchanged() -> bool:
        return all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))

    made.run_steps(1)
    assert is_unchanged()
    made.run_steps(2)
    assert not is_unchanged() and made.step == 3


def test_parts_of_the_loss_are_logged_by_kind(network: Network, tmp_path: Path) -> None:
    made = trainer(network, tmp_path / "run", minutes=1 / 600)
    made.run()
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"loss_dense", "ce_dense", "structure_dense"} <= row.keys()
    assert row["loss_dense"] == pytest.approx(row["ce_dense"] + 0.1 * row["structure_dense"], abs=2e-4)

"""Batches by their number: the same whatever the workers, and after a run was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from tiny_models import load_tiny_model

from model.fuser import FuserConfig
from model.loading import LoadedModel
from model.projector import ProjectorConfig
from model.training.batches import Batch
from model.training.examples import ExamplePlan
from model.training.lean import MAPS, LeanModel
from model.training.loading import BatchSource, LoadPlan
from model.training.network import Network, NetworkConfig
from model.training.records import Record, RecordFile, Repository
from model.training.trainer import Trainer, TrainingPlan, resumed_batch

SOURCE = "".join(f"def area_{i}(width):\n    return width * {i}\n\n\n" for i in range(6))
SPANS = tuple((4 * i, 4 * i + 2) for i in range(6))
RECORDS = tuple(Record(0, SOURCE.index(f"return width * {i}"), False, True, ((0, i),)) for i in range(6))
REPOSITORY = Repository("a", "MIT", (RecordFile("a.py", SOURCE, SPANS),), RECORDS)
PLAN = ExamplePlan(prefix_tokens=24, suffix_tokens=8, text_tokens=24, target_tokens=12)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny_model(tmp_path_factory.mktemp("tiny"))


def batches(loaded: LoadedModel, first: int = 0, workers: int = 0, **rest: object) -> Iterator[Batch]:
    plan = LoadPlan(PLAN, 2, chunk_tokens=16, rows=2, workers=workers, first=first, **rest)  # type: ignore[arg-type]
    return iter(BatchSource([REPOSITORY], loaded.tokenizer, None, plan, pin=False))


def same(one: Batch, other: Batch) -> bool:
    alike = torch.equal(one.ids, other.ids) and torch.equal(one.chunks, other.chunks)
    return one.kind == other.kind and alike


def test_workers_take_turns(loaded: LoadedModel) -> None:
    alone = list(islice(batches(loaded, align_batches=3), 8))
    shared = list(islice(batches(loaded, workers=2, align_batches=3), 8))
    assert all(map(same, alone, shared))
    later = list(islice(batches(loaded, first=5, workers=2, align_batches=3), 3))
    assert all(map(same, alone[5:], later))
    assert {batch.kind for batch in alone[:3]} <= {"reconstruct", "continue"}


def test_leaves_only_trains_no_parents() -> None:
    whole, leaves = LoadPlan(PLAN, 2).mixture(1), LoadPlan(PLAN, 2, leaves_only=True).mixture(1)
    assert "parents" in whole and "parents" not in leaves
    assert sum(leaves.values()) == pytest.approx(sum(whole.values()))


def run(loaded: LoadedModel, folder: Path, kill_after: int | None) -> tuple[list[float], Network]:
    """Six steps by the step budget; perhaps a run that is killed and another that goes on."""
    torch.manual_seed(0)
    fuser = FuserConfig(32, 1.0, n_vectors=2, dimension=8, n_layers=1, lora_rank=2, lora_targets=MAPS)
    config = NetworkConfig(fuser, ProjectorConfig(32, 1.0, n_vectors=2, dimension=8, width=8), 2, 4.0)
    losses: list[float] = []
    network = Network(LeanModel.of(loaded.model, torch.float32), config)
    plan = TrainingPlan(steps=6, align=0.34, warm_up_steps=2)
    for n_steps in (kill_after, None) if kill_after else (None,):
        torch.manual_seed(0)
        network = Network(LeanModel.of(loaded.model, torch.float32), config)
        source = batches(loaded, resumed_batch(folder), align_batches=3)
        trainer = Trainer(network, source, lambda _: None, plan, folder)
        trainer.resume()
        update = trainer._update

        def noted(batch: Batch, stage: int, update: object = update) -> dict[str, torch.Tensor]:
            parts = update(batch, stage)  # type: ignore[operator]
            losses.append(float(parts["loss"]))
            return parts  # type: ignore[no-any-return]

        trainer._update = noted  # type: ignore[method-assign]
        if n_steps:
            trainer.run_steps(n_steps)
            trainer.save()
        else:
            assert trainer.run()
    return losses, network


def test_a_killed_run_ends_with_the_same_curve_and_weights(loaded: LoadedModel, tmp_path: Path) -> None:
    whole, one = run(loaded, tmp_path / "whole", None)
    parts, other = run(loaded, tmp_path / "parts", kill_after=4)
    assert len(whole) == len(parts) == 6
    assert parts == pytest.approx(whole, abs=1e-5)
    for name, value in one.state_dict().items():
        assert torch.allclose(value, other.state_dict()[name], atol=1e-5), name

"""Utility: forward passes with and without what was retrieved."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
import torch
from tiny_models import load_tiny_model

from model.fuser import FuserConfig
from model.projector import ProjectorConfig
from model.tokenization import HfTokenizer
from model.training.examples import ExampleMaker, ExamplePlan
from model.training.lean import MAPS, LeanModel, run
from model.training.network import Network, NetworkConfig
from model.training.records import Record, RecordFile, Repository
from model.training.utility import Scorer, scored

SOURCE = "def area(width, height):\n    return width * height\n\n\nvalue = area(1, 2)\nother = area(3, 4)\n"
PLAN = ExamplePlan(prefix_tokens=48, text_tokens=48, target_tokens=16)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, HfTokenizer]:
    loaded = load_tiny_model(tmp_path_factory.mktemp("tiny"))
    fuser = FuserConfig(32, 1.0, n_vectors=2, dimension=8, n_layers=1, lora_rank=2, lora_targets=MAPS)
    config = NetworkConfig(fuser, ProjectorConfig(32, 1.0, n_vectors=2, dimension=8, width=8), 0)
    return Network(LeanModel.of(loaded.model, torch.float32), config), loaded.tokenizer


def repository(n: int = 5) -> Repository:
    file = RecordFile("a.py", SOURCE, ((0, 2), (4, 6)))
    offsets = [SOURCE.index("value"), SOURCE.index("other"), SOURCE.index("area(1"), 30, 40]
    records = tuple(Record(0, offset, False, True, ((0, 0),)) for offset in offsets[:n])
    return Repository("a", "MIT", (file,), records)


def test_utility_is_the_weighted_difference_of_nats(parts: tuple[Network, HfTokenizer]) -> None:
    network, tokenizer = parts
    one = repository()
    found = Scorer(network, tokenizer, None, PLAN, rows=2).utilities(one, one.records)
    assert len(found) == 5
    maker = ExampleMaker((), tokenizer, None, PLAN, random.Random(0))
    lean = network._model
    for record, utility in zip(one.records, found, strict=True):
        nats = []
        for example in maker.pair(one, record):
            ids = torch.tensor([*example.prompt, *example.target])
            logits = lean.logits(run(lean, lean.embedding[ids][None], lean.layers, ()))[0]
            at = len(example.prompt) - 1
            loss = torch.nn.functional.cross_entropy(
                logits[at : at + len(example.target)], torch.tensor(example.target), reduction="none"
            )
            weights = torch.tensor(example.weights[: len(loss)])
            nats.append(float((loss * weights).sum() / weights.sum()))
        assert utility == pytest.approx(nats[0] - nats[1], abs=1e-3)


def test_only_so_many_are_scored_and_none_twice(parts: tuple[Network, HfTokenizer]) -> None:
    scorer = Scorer(*parts, None, PLAN, rows=2)
    (first,) = scored([repository()], scorer, most=2, until_s=time.monotonic() + 60, seed=0)
    (again,) = scored([repository()], scorer, most=2, until_s=time.monotonic() + 60, seed=0)
    assert first == again and sum(record.utility is not None for record in first.records) == 2
    (more,) = scored([first], scorer, most=9, until_s=time.monotonic() + 60, seed=0)
    pairs = list(zip(first.records, more.records, strict=True))
    assert all(later.utility is not None for _, later in pairs)
    assert all(later == before for before, later in pairs if before.utility is not None)


def test_after_its_time_the_rest_stays_as_it_is(parts: tuple[Network, HfTokenizer]) -> None:
    scorer = Scorer(*parts, None, PLAN, rows=2)
    found = list(scored([repository(), repository()], scorer, 9, until_s=time.monotonic() - 1, seed=0))
    assert found == [repository(), repository()]


def test_without_hits_nothing_is_gained(parts: tuple[Network, HfTokenizer]) -> None:
    network, tokenizer = parts
    one = repository(1)
    nothing = replace(one, records=(replace(one.records[0], hits=()),))
    assert Scorer(network, tokenizer, None, PLAN, rows=1).utilities(nothing, nothing.records) == [
        pytest.approx(0.0, abs=1e-5)
    ]

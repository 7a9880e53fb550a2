"""Kept samples come back as they were, for the same generator, places and seed only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from model.candidates import FEATURES
from model.gate_fitting import GateSample
from model.gate_samples_file import KeptSamples


def sample(n: int) -> GateSample:
    features = torch.arange(n * len(FEATURES), dtype=torch.float32).reshape(n, -1) / 8
    return GateSample(features, torch.arange(n) == n - 1)


def test_lines_come_back(tmp_path: Path) -> None:
    kept = KeptSamples(tmp_path / "samples", "tiny", "3", 0)
    lines = [[sample(2), sample(5)], [], [sample(1)]]
    kept.write("one", lines)
    kept.write("none", [])
    found = kept.read("one")
    assert found is not None and [len(line) for line in found] == [2, 0, 1]
    assert torch.equal(found[0][1].features, lines[0][1].features)
    assert torch.equal(found[2][0].right, lines[2][0].right)
    assert kept.read("none") == []


def test_others_are_made_anew(tmp_path: Path) -> None:
    kept = KeptSamples(tmp_path, "tiny", "3", 0)
    kept.write("one", [[sample(2)]])
    assert kept.read("other") is None
    for change in ({"model_id": "larger"}, {"cursors": "3 inside"}, {"seed": 1}):
        assert replace(kept, **change).read("one") is None  # type: ignore[arg-type]


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    kept = KeptSamples(tmp_path, "tiny", "3", 0)
    kept.write("one", [[sample(2)]])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert kept.read("one") is None

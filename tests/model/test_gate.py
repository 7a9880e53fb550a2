"""The gate's arithmetic, its file, and the gates that are shipped."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from gate_rig import EITHER, gate_of

from model.candidates import FEATURES
from model.errors import ModelCorrupt
from model.gate import GATES_FOLDER, Gate, GateWeights, gate_for, load_earlier_gate, load_gate


def plain_score(gate: Gate, row: list[float]) -> float:
    """The formula, number by number."""
    weights = gate.weights
    score = float(weights.trust) * row[0] + sum(
        w * x for w, x in zip(weights.linear.tolist(), row, strict=True)
    )
    for unit, bias, out in zip(
        weights.hidden.tolist(), weights.bias.tolist(), weights.out.tolist(), strict=True
    ):
        z = bias + sum(w * x for w, x in zip(unit, row, strict=True))
        score += out * 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    return score


def test_scores_are_the_formula() -> None:
    rows = torch.randn(5, len(FEATURES), generator=torch.Generator().manual_seed(3))
    expected = [plain_score(EITHER, row) for row in rows.tolist()]
    assert EITHER.weights.scores(rows).tolist() == pytest.approx(expected, abs=1e-4)
    assert EITHER.weights.scores(rows[None])[0].tolist() == pytest.approx(expected, abs=1e-4)
    assert EITHER.scores(rows.numpy()).tolist() == pytest.approx(expected, abs=1e-4)


def test_a_gate_comes_back_from_its_file(tmp_path: Path) -> None:
    gate = Gate(EITHER.weights, {"lines": 3})
    (tmp_path / "gate.json").write_text(json.dumps(gate.to_json()))
    found = load_gate(tmp_path / "gate.json")
    assert found.provenance == {"lines": 3}
    for name, tensor in vars(gate.weights).items():
        assert torch.allclose(getattr(found.weights, name), tensor, rtol=1e-4)


def test_a_gate_of_before_makes_nothing_of_features_that_came_later(tmp_path: Path) -> None:
    data = EITHER.to_json()
    data["features"] = data["features"][:-2]
    data["weights"]["linear"] = data["weights"]["linear"][:-2]
    data["weights"]["hidden"] = [unit[:-2] for unit in data["weights"]["hidden"]]
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ModelCorrupt):
        load_gate(path)
    earlier, rows = load_earlier_gate(path).weights, torch.randn(4, len(FEATURES))
    rows[:, -2:] = 0
    assert torch.allclose(earlier.scores(rows), EITHER.weights.scores(rows), atol=1e-3)
    path.write_text("{}")
    with pytest.raises(ModelCorrupt, match="train gate"):
        load_earlier_gate(path)


def test_every_shipped_gate_can_be_read_and_says_where_it_is_from() -> None:
    paths = sorted(GATES_FOLDER.glob("*.json"))
    assert "default" in {path.stem for path in paths}
    for path in paths:
        provenance = load_gate(path).provenance
        assert provenance["lines"] > 1000
        judged = provenance["judged_on"]
        assert judged["lines_gate"] > judged["lines_model"]


def test_an_unknown_generator_gets_the_default_gate() -> None:
    assert gate_for("no-such-model").to_json() == gate_for("").to_json() == gate_for("default").to_json()


@pytest.mark.parametrize("change", ["weights", "features", "format_version", "provenance"])
def test_a_spoilt_gate_is_named(tmp_path: Path, change: str) -> None:
    spoilt = gate_of().to_json()
    del spoilt[change]
    (tmp_path / "gate.json").write_text(json.dumps(spoilt))
    with pytest.raises(ModelCorrupt, match="is no gate of this version"):
        load_gate(tmp_path / "gate.json")


@pytest.mark.parametrize("content", ["", "[]", '{"format_version": 1}'])
def test_what_is_no_gate_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "gate.json").write_text(content)
    with pytest.raises(ModelCorrupt, match="is no gate of this version"):
        load_gate(tmp_path / "gate.json")


def test_weights_of_other_shapes_or_not_finite_are_refused() -> None:
    parts = vars(gate_of().weights)
    with pytest.raises(ValueError, match="shapes"):
        GateWeights(**{**parts, "linear": torch.zeros(3)})
    with pytest.raises(ValueError, match="finite"):
        GateWeights(**{**parts, "trust": torch.tensor(math.nan)})

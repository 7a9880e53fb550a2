"""Samples for the gate from records: at line starts, within lines, without what follows the cursor."""

from __future__ import annotations

import random

import pytest
from tiny_models import load_tiny_model

from hef_lsp.training.gate_samples import gate_lines, is_fit
from model.candidates import FEATURES
from model.generator import HfGenerator
from model.training.records import Record, RecordFile, Repository

SHAPES = (
    "def area(width, height):\n    return width * height\n\n\ndef volume(a):\n    return area(a, a) * a\n"
)
SHOW = "import shapes\n\n\ndef show(box):\n    shown = shapes.area(box.width, box.height)\n    return shown\n"
INSIDE, COLUMN, TOLD = (FEATURES.index(name) for name in ("inside", "column", "told"))


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> HfGenerator:
    return HfGenerator(load_tiny_model(tmp_path_factory.mktemp("tiny")))


def repository() -> Repository:
    files = (RecordFile("shapes.py", SHAPES, ((0, 2), (4, 6))), RecordFile("show.py", SHOW, ((0, 6),)))
    within, start = SHOW.index("area(box"), SHOW.index("    shown")
    hits = ((0, 0), (0, 1))
    return Repository(
        "a", "MIT", files, (Record(1, within, False, True, hits), Record(1, start, False, True, hits))
    )


@pytest.mark.parametrize("inside", [False, True])
def test_lines_without_context_and_with_text(generator: HfGenerator, inside: bool) -> None:
    lines = list(gate_lines(repository(), generator, 1, inside, random.Random(0)))
    assert len(lines) % 2 == 0
    without, told = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    assert [len(line) for line in without] == [len(line) for line in told]
    assert all(float(line[0].features[0, TOLD]) == 0.0 for line in without if line)
    assert all(float(line[0].features[0, TOLD]) > 0.0 for line in told if line)
    first = without[0][0].features[0]
    assert float(first[INSIDE]) == float(inside) and (float(first[COLUMN]) > 0.1) == inside
    assert all(float(line[0].features[0, INSIDE]) == 0.0 for line in without[1:] if line)


def test_within_lines_only_such_cursors_are_taken(generator: HfGenerator) -> None:
    one = repository()
    starts = Repository("a", "MIT", one.files, one.records[1:])
    assert list(gate_lines(starts, generator, 5, True, random.Random(0))) == []
    assert list(gate_lines(starts, generator, 5, False, random.Random(0)))


def test_a_repository_must_have_something_to_remember() -> None:
    assert not is_fit(repository())
    files = tuple(RecordFile(f"{number}.py", SHAPES, ()) for number in range(5))
    assert is_fit(Repository("a", "MIT", files, ()))

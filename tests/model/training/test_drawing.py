"""Which records are drawn, by how much their context helps."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from model.training.drawing import Drawing, Filter
from model.training.records import Record, RecordFile, Repository


def repository(name: str, *utilities: float | None) -> Repository:
    records = tuple(Record(0, place, False, True, (), value) for place, value in enumerate(utilities))
    return Repository(name, "MIT", (RecordFile("a.py", "", ()),), records)


def counts(drawing: Drawing, useful: bool, n: int = 4000) -> Counter[tuple[str, int]]:
    source = random.Random(0)
    draw = drawing.useful if useful else drawing.any
    return Counter((one.name, record.offset) for one, record in (draw(source) for _ in range(n)))


def test_unhelpful_contexts_come_as_often_as_wanted() -> None:
    drawing = Drawing([repository("a", 0.3, -0.1, 0.01), repository("b", 0.05)], Filter(0.05, 0.2))
    found = counts(drawing, useful=True)
    unhelpful = found["a", 1] + found["a", 2]
    assert unhelpful / 4000 == pytest.approx(0.2, abs=0.03)
    assert found["a", 0] == pytest.approx(found["b", 0], rel=0.15)


def test_alignment_takes_every_record_alike() -> None:
    drawing = Drawing([repository("a", 0.3, -0.1), repository("b", None, 0.0)], Filter(0.05, 0.2))
    found = counts(drawing, useful=False)
    assert all(n / 4000 == pytest.approx(0.25, abs=0.03) for n in found.values()) and len(found) == 4


def test_what_was_not_scored_is_not_filtered() -> None:
    assert Filter().is_helpful(Record(0, 0, False, True, ()))
    found = counts(Drawing([repository("a", None, None)], Filter(0.05, 0.2)), useful=True)
    assert found["a", 0] / 4000 == pytest.approx(0.5, abs=0.04)


def test_where_nothing_helps_all_are_drawn() -> None:
    found = counts(Drawing([repository("a", -1.0, -2.0)], Filter(0.05, 0.0)), useful=True)
    assert len(found) == 2


def test_without_records_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no records"):
        Drawing([repository("a")], Filter())

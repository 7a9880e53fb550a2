"""Training records cut from an index: nothing of the target is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeEmbedder
from index_rig import Rig

from indexer.dataset import CursorPlan, cut_records, record_files
from indexer.retriever import Retriever

SHAPES = "class Box:\n    def area(self):\n        return self.width * self.height\n" + "\n".join(
    f"    def scale_{i}(self, factor):\n        self.width = self.width * factor + {i}\n" for i in range(12)
)
USES = "import shapes\n\n\n" + "\n".join(
    f"def use_{i}(box):\n    total = box.area() + {i}\n    return box.scale_{i}(total)\n" for i in range(12)
)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "work", tmp_path / "cache", FakeEmbedder())
    rig.write("shapes.py", SHAPES)
    rig.write("uses.py", USES)
    rig.index.updater.scan()
    return rig


def test_chunks_of_the_records_are_the_chunks_of_the_index(rig: Rig) -> None:
    files = record_files(rig.index.view(), {"shapes.py": SHAPES, "uses.py": USES})
    for file in files:
        for place, chunk in enumerate(rig.index.view().file_chunks(file.path)):
            assert file.chunk(place) == chunk.text


@pytest.mark.parametrize("sees_suffix", [0.0, 1.0])
def test_no_record_is_shown_its_own_target(rig: Rig, sees_suffix: float) -> None:
    files = record_files(rig.index.view(), {"shapes.py": SHAPES, "uses.py": USES})
    plan = CursorPlan(lines_a_cursor=2, sees_suffix=sees_suffix, keep_others=1.0)
    records = list(cut_records(rig.index.view(), files, Retriever(rig.embedder), plan))
    assert len(records) > 10
    for record in records:
        line = files[record.file].text[: record.offset].count("\n")
        assert record.sees_suffix is (sees_suffix == 1.0)
        for number, place in record.hits:
            start, end = files[number].spans[place]
            if number == record.file:
                assert not start <= line < end
                assert sees_suffix or end <= line


def test_the_same_plan_gives_the_same_records(rig: Rig) -> None:
    files = record_files(rig.index.view(), {"shapes.py": SHAPES, "uses.py": USES})
    again = [list(cut_records(rig.index.view(), files, Retriever(rig.embedder), CursorPlan())) for _ in "ab"]
    assert again[0] == again[1]
    assert again[0]

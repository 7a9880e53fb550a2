"""Rows for assessment: masked, found by the product's search, with the wrong hits of another repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import fake_bundle

from hef_lsp.training.assessment_rows import TooFewRepositories, assessment_rows, with_foreign
from model.evaluation.benchmarks import BenchmarkRow
from model.training.assessment import AssessmentRow

SECRET = "the_hidden_target_name"


def write_repository(sources: Path, name: str) -> BenchmarkRow:
    folder = sources / "level" / name
    folder.mkdir(parents=True)
    before = f"import {name}_shapes\n\n\ndef show(box):\n"
    line = f"    value = {SECRET}(box)"
    (folder / "app.py").write_text(f"{before}{line}\n    return {SECRET}_after(value)\n")
    (folder / f"{name}_shapes.py").write_text(f"def {name}_area(box):\n    return box.width * box.height\n")
    return BenchmarkRow(f"{name}/0", f"level/{name}", "app.py", before, "", line.strip())


@pytest.fixture
def made(tmp_path: Path) -> list[tuple[str, AssessmentRow]]:
    rows = [write_repository(tmp_path, name) for name in ("first", "second")]
    multiline = BenchmarkRow("m", "level/first", "app.py", "import x\n", "", "a\nb")
    counted: list[None] = []
    found = list(
        assessment_rows("demo", [*rows, multiline], tmp_path, fake_bundle(), lambda: counted.append(None))  # type: ignore[arg-type]
    )
    assert len(counted) == len(found) == 2
    return found


def test_a_row_is_masked_and_searched_as_in_the_product(made: list[tuple[str, AssessmentRow]]) -> None:
    for repository, row in made:
        name = repository.rpartition("/")[2]
        assert row.benchmark == "demo" and row.path == "app.py"
        assert row.target == f"    value = {SECRET}(box)\n"  # as in the file, not as the benchmark strips it
        assert [path for path, _ in row.hits] == [f"{name}_shapes.py"]
        assert all(SECRET not in text for _, text in row.hits) and SECRET not in row.prefix


def test_wrong_hits_are_those_of_another_repository(made: list[tuple[str, AssessmentRow]]) -> None:
    rows = with_foreign(made, seed=0)
    assert {row.hits[0][0] for row in rows} == {"first_shapes.py", "second_shapes.py"}
    for row in rows:
        assert row.foreign[0][0] in {"first_shapes.py", "second_shapes.py"} - {row.hits[0][0]}
    assert with_foreign(made, seed=0) == rows


def test_one_repository_alone_has_no_wrong_hits(made: list[tuple[str, AssessmentRow]]) -> None:
    with pytest.raises(TooFewRepositories, match="draw more rows"):
        with_foreign(made[:1], seed=0)
    assert with_foreign([], seed=0) == []


def test_a_target_that_is_not_in_the_file_is_the_benchmarks_own(tmp_path: Path) -> None:
    row = write_repository(tmp_path, "first")
    other = BenchmarkRow(row.task_id, row.repository, row.path, "# another beginning\nx = ", "", "compute(1)")
    ((_, found),) = assessment_rows("demo", [other], tmp_path, fake_bundle(), lambda: None)  # type: ignore[arg-type]
    assert found.target == "compute(1)\n"

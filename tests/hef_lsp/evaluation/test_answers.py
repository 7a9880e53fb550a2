"""The file of answers."""

from __future__ import annotations

import json
from pathlib import Path

from hef_lsp.evaluation.answers import AnswerFile
from hef_lsp.evaluation.runner import ArmResult

ONE, OTHER = ArmResult("t/1", "none", "ü", 1.0), ArmResult("t/2", "text", "y", 2.0, 1.5, True, 7)


def test_answers_come_back_by_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for name, result in (("a", ONE), ("b", OTHER), ("a", OTHER)):
        AnswerFile(path, "a").add(name, result)
    again = AnswerFile(path, "a")
    assert again.of("a") == [ONE, OTHER] and again.of("b") == [OTHER] and again.of("c") == []


def test_older_lines_belong_to_the_first_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"task_id": "t", "arm": "none", "prediction": "x", "latency_ms": 3.0}) + "\n")
    assert AnswerFile(path, "a").of("a") == [ArmResult("t", "none", "x", 3.0)]


def test_a_torn_line_is_told_and_spoils_nothing_that_follows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    AnswerFile(path, "a").add("a", ONE)
    with path.open("a") as file:
        file.write('{"benchmark": "a", "task_id": "torn')
    torn = AnswerFile(path, "a")
    assert torn.torn == [2] and torn.of("a") == [ONE]
    torn.add("a", OTHER)
    assert AnswerFile(path, "a").of("a") == [ONE, OTHER]


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    kept = AnswerFile(None, "a")
    kept.add("a", ONE)
    assert list(tmp_path.iterdir()) == [] and kept.of("a") == []

"""`hef-lsp train` and the benchmark commands: what is asked wrongly is told before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import save_tiny_gguf, save_tiny_model
from typer.testing import CliRunner

from hef_lsp.cli import app


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 1, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "--benchmark"),
        ("bench", "drafts", "--benchmark"),
        ("train", "rows", "--out", "x", "--benchmark"),
    ],
)
def test_an_unknown_benchmark_names_the_known_ones(command: tuple[str, ...], tmp_path: Path) -> None:
    message = said(*command, "magic", "--data", str(tmp_path))
    assert "there is no benchmark 'magic'; known: repoeval-line" in message


@pytest.mark.parametrize("command", [("eval",), ("bench", "drafts"), ("train", "rows", "--out", "x")])
def test_a_folder_without_benchmarks_is_told(command: tuple[str, ...], tmp_path: Path) -> None:
    message = said(*command, "--benchmark", "repoeval-line", "--data", str(tmp_path))
    assert "has neither dev nor heldout" in message


def test_a_pack_needs_its_parts(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl.xz"
    common = ("--records", str(tmp_path / "r.xz"), "--rows", str(rows), "--out", str(tmp_path / "pack"))
    save_tiny_model(tmp_path / "folder")
    message = said("train", "pack", *common, "--model", str(tmp_path / "folder"))
    assert "rows.jsonl.xz is no file; make it first" in message


def test_results_that_are_none_are_told(tmp_path: Path) -> None:
    save_tiny_gguf(tmp_path / "tiny.gguf")
    arguments = ("--results", str(tmp_path), "--out", str(tmp_path / "checkpoint"))
    message = said("train", "unpack-results", *arguments, "--model", str(tmp_path / "tiny.gguf"))
    assert "fetch the results of the run again" in message


def test_records_that_are_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "records.xz").write_text("no records")
    message = said(
        "train", "gate", "--records", str(tmp_path / "records.xz"), "--out", str(tmp_path / "gate.json")
    )
    assert "make them anew with `hef-lsp train data`" in message


def test_a_part_of_the_samples_needs_a_folder_to_keep_it_in(tmp_path: Path) -> None:
    arguments = ("--records", str(tmp_path / "records.xz"), "--out", str(tmp_path / "gate.json"))
    assert "--samples" in said("train", "gate", *arguments, "--shard", "0/2")

"""`hef-lsp bench`: what is asked wrongly is told before anything is loaded."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hef_lsp.commands.bench import app


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 1, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("lines", ["", "many", "1000,0", "1000;2000"])
def test_sizes_that_are_no_numbers_are_told(lines: str) -> None:
    assert "give numbers such as 1000,10000" in said("index", "--lines", lines)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    assert "is no folder; give an existing one" in said("latency", "--workspace", str(tmp_path / "no"))
    assert "is no folder; give an existing one" in said("index", "--source", str(tmp_path / "no"))


def test_a_folder_without_code_is_told_before_a_server_starts(tmp_path: Path) -> None:
    assert "has 3 lines of code in a row" in said("latency", "--workspace", str(tmp_path))


def test_an_unknown_arm_names_the_known_ones(tmp_path: Path) -> None:
    assert "there is no arm 'magic'; known: " in said(
        "latency", "--workspace", str(tmp_path), "--arms", "magic"
    )

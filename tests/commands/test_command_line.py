"""The commands: bad input ends in one line that says what to do; doctor looks and advises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from hef_lsp import __version__
from hef_lsp.cli import app
from hef_lsp.commands import diagnosis
from hef_lsp.commands.completing import repository_of
from hef_lsp.commands.console import say_fetching
from hef_lsp.commands.demonstration import places
from hef_lsp.commands.views import explanation_view, shown, timings_line
from hef_lsp.settings import LONGEST_DEADLINE_MS, Settings
from model.errors import ModelError
from model.runtime.kernel import library

runner = CliRunner()


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).output.strip() == f"hef-lsp {__version__}"


def test_help_names_every_command() -> None:
    output = runner.invoke(app, ["--help"]).output
    for command in ("serve", "index", "status", "complete", "explain", "model", "doctor", "bench", "demo"):
        assert command in output


@pytest.mark.parametrize("command", ["index", "status"])
def test_missing_folder_is_said(command: str, tmp_path: Path) -> None:
    result = runner.invoke(app, [command, str(tmp_path / "nowhere")])
    assert result.exit_code == 1
    assert "does not exist; give an existing folder" in " ".join(result.output.split())


@pytest.mark.parametrize("command", ["index", "status"])
def test_a_file_instead_of_a_folder_is_said(command: str, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    result = runner.invoke(app, [command, str(file)])
    assert result.exit_code == 1
    assert "is a file; give the folder that holds it" in " ".join(result.output.split())


def test_status_without_an_index_says_how_to_make_one(tmp_path: Path) -> None:
    result = runner.invoke(app, ["status", str(tmp_path), "--cache-dir", str(tmp_path / "cache")])
    assert result.exit_code == 1
    assert "has no index yet; run: hef-lsp index" in " ".join(result.output.split())


def test_complete_in_a_missing_file_is_said(tmp_path: Path) -> None:
    result = runner.invoke(app, ["complete", str(tmp_path / "a.py"), "--line", "0", "--character", "0"])
    assert result.exit_code == 1
    assert "is not a file" in " ".join(result.output.split())


def refused(file: Path, line: int, character: int) -> str:
    place = [str(file), "--line", str(line), "--character", str(character)]
    result = runner.invoke(app, ["complete", *place])
    assert result.exit_code == 1
    return " ".join(result.output.split())


def test_whoever_asks_on_the_command_line_waits_for_the_whole_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("x = ")
    deadlines = []

    @contextmanager
    def session(_root: Path, settings: Settings, *_rest: object, **_named: object) -> Iterator[None]:
        deadlines.append(settings.completion.deadline_ms)
        raise ModelError("there is no model here")
        yield

    monkeypatch.setattr("hef_lsp.local.local_session", session)
    assert "there is no model here" in refused(tmp_path / "a.py", 0, 4)
    assert deadlines == [LONGEST_DEADLINE_MS]


def test_a_place_outside_the_file_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = '\U0001f600'\ny = 2")
    assert "line 2 is outside the file, which has 2 lines" in refused(file, 2, 0)
    assert "character 9 is outside line 0, which has 8" in refused(file, 0, 9)


def test_a_binary_a_huge_and_an_unreadable_file_are_said(tmp_path: Path) -> None:
    binary, huge = tmp_path / "a.bin", tmp_path / "huge.py"
    binary.write_bytes(b"\0\1\2")
    with huge.open("wb") as file:
        file.truncate(100 << 20)
    assert "holds no text" in refused(binary, 0, 0)
    assert "is larger than 8 MiB" in refused(huge, 0, 0)
    assert "is not a file" in refused(tmp_path, 0, 0)


def test_negative_line_is_refused(tmp_path: Path) -> None:
    result = runner.invoke(app, ["complete", str(tmp_path), "--line", "-1", "--character", "0"])
    assert result.exit_code == 2


def test_repository_of_finds_the_nearest_repository(tmp_path: Path) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "deep" / "er").mkdir(parents=True)
    file = tmp_path / "repo" / "deep" / "er" / "a.py"
    file.touch()
    assert repository_of(file) == (tmp_path / "repo").resolve()


def test_doctor_prints_json_and_its_exit_code_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = runner.invoke(app, ["doctor", str(tmp_path), "--json"])
    findings = json.loads(result.output)
    subjects = {finding["subject"] for finding in findings}
    assert {"python", "torch", "hardware", "memory", "disk", "models", "index", "editors"} <= subjects
    assert result.exit_code == int(any(finding["verdict"] == "bad" for finding in findings))


def test_doctor_says_what_the_kernel_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "why_none", lambda: None)
    assert diagnosis.check_kernel() == diagnosis.Finding(
        "kernel", diagnosis.Verdict.GOOD, "built for this machine"
    )
    monkeypatch.setattr(library, "why_none", lambda: "no C compiler in /usr/bin or /usr/local/bin")
    monkeypatch.setattr(library, "why_not_here", lambda: None)
    monkeypatch.setattr(library, "COMPILERS", ())
    found = diagnosis.check_kernel()
    assert found.verdict is diagnosis.Verdict.NOTE and "no C compiler" in found.fact
    assert "install gcc or clang" in found.advice
    monkeypatch.setattr(library, "why_not_here", lambda: "it is not made for darwin on arm64")
    assert "install" not in diagnosis.check_kernel().advice


def test_doctor_survives_a_check_that_breaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def check_torch() -> diagnosis.Finding:
        raise OSError("no such luck")

    monkeypatch.setattr(diagnosis, "check_torch", check_torch)
    broken = [finding for finding in diagnosis.examine(tmp_path) if finding.subject == "torch"]
    assert [finding.verdict for finding in broken] == [diagnosis.Verdict.BAD]
    assert "no such luck" in broken[0].fact


def test_bad_findings_carry_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for finding in diagnosis.examine(tmp_path):
        assert finding.verdict is diagnosis.Verdict.GOOD or finding.advice


def test_demo_places_ask_where_the_answer_lies_in_the_file(tmp_path: Path) -> None:
    body = "\n".join(f"def f{i}(self):\n    return self.compute_value({i}, scale=2)" for i in range(9))
    (tmp_path / "a.py").write_text(body)
    (place,) = places(tmp_path, 3)
    line = body.split("\n")[place.line]
    assert place.typed + place.truth == line
    assert place.typed.endswith("return self.")


def test_explanation_view_names_levels_places_and_scores() -> None:
    explanation = {
        "path": "a.py", "line": 4, "mode": "dense", "source": "generated",
        "n_pseudo_tokens": 48, "n_prompt_tokens": 300, "n_reused": 250, "n_prefilled": 50,
        "n_decoded": 9, "n_forwards": 4,
        "timings": {"retrieve_ms": 3.2, "decode_ms": 120.0, "project_ms": 0.1},
        "hits": [
            {"kind": "CHUNK", "path": "b.py", "start_line": 9, "end_line": 20, "score": 0.5,
             "dense_score": 0.25, "lexical_score": 7.5, "text": "\ndef helper():\n", "alike": True},
        ],
    }  # fmt: skip
    console = Console(width=120, record=True, file=None)
    with console.capture() as captured:
        console.print(explanation_view(explanation))
    text = captured.get()
    for words in (
        "a.py:5",
        "dense",
        "48",
        "9 in 4 passes",
        "b.py:10-20",
        "0.250",
        "7.500",
        "yes",
        "def helper():",
        "retrieve 3 ms",
    ):
        assert words in text
    assert "project" not in text.split("level")[0].split("timings")[1]


def test_small_views() -> None:
    assert timings_line(None) == "no timings"
    assert shown({"a": 12345}) == "a 12,345"
    assert shown(True) == "True"


def test_a_download_is_said_once_with_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    listen = say_fetching()
    for done in (0, 40_000_000, 93_000_000):
        listen("smollm2-135m", done, 93_000_000)
    assert capsys.readouterr().err == "smollm2-135m: fetching 93 MB, once\n"

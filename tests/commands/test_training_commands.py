"""`hef-lsp train` and the benchmark commands: what is asked wrongly is told before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import save_tiny_gguf, save_tiny_model
from typer.testing import CliRunner

from hef_lsp.cli import app
from hef_lsp.commands.training_view import TrainingView
from model.slots.maps import SlotMaps
from model.slots.needs import Needs
from model.training.records import Record, RecordFile, Repository, read_repositories, write_repositories


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


@pytest.mark.parametrize("what", ["gate", "needs", "maps"])
def test_records_that_are_none_are_told(tmp_path: Path, what: str) -> None:
    (tmp_path / "records.xz").write_text("no records")
    message = said("train", what, "--records", str(tmp_path / "records.xz"), "--out", str(tmp_path / "out"))
    assert "make them anew with `hef-lsp train data`" in message


def chunky(name: str, cursors: tuple[int, ...] = ()) -> Repository:
    lines = [
        f"def {name}_{n}(first, second):\n    return first.{name} + second.{name}_{n}" for n in range(12)
    ]
    spans = tuple((2 * n, 2 * n + 6) for n in range(0, 18, 3))
    records = tuple(Record(0, offset, False, True, ((0, 0), (0, 1))) for offset in cursors)
    return Repository(name, "MIT", (RecordFile(f"{name}.py", "\n".join(lines), spans),), records)


def test_needs_are_learnt_of_records(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    records, learnt = tmp_path / "records.xz", tmp_path / "needs.safetensors"
    write_repositories(records, [chunky("alpha"), chunky("beta"), chunky("gamma")])
    arguments = ("--records", str(records), "--out", str(learnt), "--judges", "3", "--chunks", "4")
    result = CliRunner().invoke(app, ["train", "needs", *arguments, "--model", str(tmp_path / "model")])
    assert result.exit_code == 0, result.output
    needs = Needs.load(learnt)
    assert needs.provenance["repositories"] == 3
    assert needs.provenance["judged_on"]["texts"] > 0


def test_maps_are_learnt_of_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    save = SlotMaps.save
    monkeypatch.setattr("hef_lsp.commands.training_maps.SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(
        SlotMaps, "save", lambda maps, path: saved.append(maps.provenance["examples"]) or save(maps, path)
    )
    save_tiny_model(tmp_path / "model")
    records, learnt = tmp_path / "records.xz", tmp_path / "maps.safetensors"
    write_repositories(records, [chunky(name, (300, 420)) for name in ("alpha", "beta", "gamma")])
    arguments = ("--records", str(records), "--out", str(learnt), "--judges", "3", "--judged", "2")
    arguments = (*arguments, "--examples", "8", "--rank", "2", "--model", str(tmp_path / "model"))
    result = CliRunner().invoke(app, ["train", "maps", *arguments])
    assert result.exit_code == 0, result.output
    assert saved == [*range(1, 9), 8], "what was learnt so far, and at the end"
    maps = SlotMaps.load(learnt)
    assert maps.weights.any() and maps.provenance["repositories"] == 2
    assert maps.provenance["examples"] == 8 and maps.provenance["judged"]["nats_after"] > 0
    result = CliRunner().invoke(app, ["train", "maps", *arguments, "--start", str(learnt), "--seed", "1"])
    assert result.exit_code == 0, result.output
    more = SlotMaps.load(learnt)
    assert more.provenance["start"]["seed"] == 0 and not torch.equal(more.weights, maps.weights)


def test_maps_need_a_repository_to_learn_from(tmp_path: Path) -> None:
    records = tmp_path / "records.xz"
    write_repositories(records, [chunky("alpha", (300,))])
    message = said("train", "maps", "--records", str(records), "--out", str(tmp_path / "maps.safetensors"))
    assert "give more --records" in message


def test_a_part_of_the_samples_needs_a_folder_to_keep_it_in(tmp_path: Path) -> None:
    arguments = ("--records", str(tmp_path / "records.xz"), "--out", str(tmp_path / "gate.json"))
    assert "--samples" in said("train", "gate", *arguments, "--shard", "0/2")


def test_a_run_takes_records_or_packages_and_says_so(tmp_path: Path) -> None:
    run = ("train", "run", "--out", str(tmp_path / "out"))
    assert "either --records, or --archives" in said(*run)
    both = ("--records", str(tmp_path / "r"), "--archives", str(tmp_path))
    assert "either --records, or --archives" in said(*run, *both)
    assert "make it with `hef-lsp train data`" in said(*run, "--records", str(tmp_path / "r"))
    assert "is no folder" in said(*run, "--archives", str(tmp_path / "nowhere"))


def test_settings_and_variants_are_checked_first(tmp_path: Path) -> None:
    save_tiny_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "records.xz").write_text("no records")
    common = ("--records", str(tmp_path / "records.xz"), "--out", str(tmp_path / "out"))
    model = ("--model", str(tmp_path / "tiny.gguf"))
    assert "expected NAME=VALUE" in said("train", "run", *common, *model, "--set", "kl")
    assert "write it as layers=4,8" in said("train", "ablate", *common, *model, "--vary", "layers")


def test_utilities_are_scored_into_a_new_file(tmp_path: Path) -> None:
    save_tiny_gguf(tmp_path / "tiny.gguf")
    file = RecordFile("a.py", "def area(w):\n    return w\n\n\nvalue = area(1)\n", ((0, 2), (4, 5)))
    record = Record(0, file.text.index("value"), False, True, ((0, 0),))
    write_repositories(tmp_path / "in.xz", [Repository("a", "MIT", (file,), (record,))])
    arguments = ("--records", str(tmp_path / "in.xz"), "--out", str(tmp_path / "out.xz"), "--limit", "1")
    sizes = ("--prefix-tokens", "32", "--text-tokens", "32", "--model", str(tmp_path / "tiny.gguf"))
    result = CliRunner().invoke(app, ["train", "utility", *arguments, *sizes])
    assert result.exit_code == 0, result.output
    ((found,),) = (one.records for one in read_repositories(tmp_path / "out.xz"))
    assert found.utility is not None and replace(found, utility=None) == record


def test_a_live_view_shows_the_newest_figures() -> None:
    view = TrainingView(live=True)
    with view:
        view.hear("ready after 3 s")
        view.hear('{"step": 2, "loss_dense": 4.5}')
        view.hear('{"step": 4, "loss_text": 1.5}')
    rows = list(zip(*(column.cells for column in view.table().columns), strict=True))
    assert rows == [("step", "4"), ("loss_dense", "4.5"), ("loss_text", "1.5")]

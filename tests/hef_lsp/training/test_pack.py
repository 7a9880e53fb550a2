"""A run on another machine: packed here, carried in pieces, run there, brought home."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import HIDDEN_SIZE, save_tiny_gguf, save_tiny_model, tiny_backend
from tokenizers import AddedToken

from hef_lsp.training import pack_runner
from hef_lsp.training.homecoming import NoResults, best_context, bring_home
from hef_lsp.training.local_run import RunFailed, RunPlan, ablate_here, run_here
from hef_lsp.training.packing import CannotPack, Packed, PackPlan, write_pack
from hef_lsp.training.run_page import page_of
from model.checkpoint import load_checkpoint
from model.errors import ModelCorrupt, ModelNotFound
from model.training.assessment import AssessmentRow, read_rows, write_rows
from model.training.records import Record, RecordFile, Repository, write_repositories
from model.training.remote import SMOLLM_FIM
from model.training.results import digests, write_pieces

SHAPES = (
    "def area(width, height):\n    return width * height\n\n\n"
    "def volume(a, b, c):\n    return area(a, b) * c\n"
)
SHOW = "import shapes\n\n\ndef show(box):\n    print(shapes.area(box.width, box.height))\n"
SIZES = ["--rows", "4", "--workers", "0", "--layers", "1", "--fuser-rank", "2", "--decoder-rank", "2"]
SIZES += ["--dimension", "16", "--prefix-tokens", "48", "--assess-rows", "2"]


def repository(name: str) -> Repository:
    files = (
        RecordFile("shapes.py", SHAPES, ((0, 2), (4, 6))),
        RecordFile("show.py", SHOW, ((0, 1), (3, 5))),
    )
    return Repository(
        name, "MIT", files, (Record(1, SHOW.index("    print"), False, True, ((0, 0), (0, 1))),)
    )


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator, records and rows, as the commands before would leave them."""
    folder = tmp_path_factory.mktemp("materials")
    save_tiny_gguf(folder / "tiny.gguf")
    save_tiny_model(folder / "tiny")
    for number in range(2):
        write_repositories(
            folder / f"records{number}.jsonl.xz", [repository(f"repo{number}"), repository("x")]
        )
    hits = (("shapes.py", SHAPES),)
    rows = [AssessmentRow("demo", "show.py", "def show(box):\n", "    print(area(1, 2))\n", hits, hits)] * 2
    write_rows(folder / "rows.jsonl.xz", rows)
    return folder


def tokenizer_json() -> str:
    backend = tiny_backend()
    backend.add_tokens([AddedToken(mark) for mark in (SMOLLM_FIM.prefix, SMOLLM_FIM.suffix)])
    return str(backend.to_str())


def plan(materials: Path, start: Path | None = None, max_bytes: int = 100_000) -> PackPlan:
    records = sorted(materials.glob("records*.jsonl.xz"))
    generator, rows = materials / "tiny", materials / "rows.jsonl.xz"
    return PackPlan(generator, tokenizer_json(), records, rows, start, SIZES, max_bytes)


@pytest.fixture(scope="module")
def packed(materials: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Packed]:
    folder = tmp_path_factory.mktemp("pack")
    return folder, write_pack(plan(materials), folder)


NOT_THERE = ("accelerate", "gguf", "hef_lsp", "hnswlib", "indexer", "lsprotocol", "platformdirs", "psutil")
NOT_THERE += ("pygls", "rapidfuzz", "tree_sitter", "typer", "watchdog")
CODE_SEEN = "model was {}"
BARE = f"""
import atexit, sys
for name in {NOT_THERE!r}:
    sys.modules[name] = None  # importing it fails, and nothing finds it
def seen():
    if "model" in sys.modules:
        print({CODE_SEEN!r}.format(sys.modules["model"].__file__))
atexit.register(seen)
"""


def run(pieces: Path, work: Path, out: Path, *training: str) -> subprocess.CompletedProcess[str]:
    """As on the other machine: what else the environment of the tests has is hidden."""
    (bare := pieces.parent / "bare").mkdir(exist_ok=True)
    (bare / "sitecustomize.py").write_text(BARE)
    command = [sys.executable, str(pieces / "run.py"), "--pieces", str(pieces), "--work", str(work)]
    command += ["--out", str(out), "--", *training]
    environment = {**os.environ, "PYTHONPATH": str(bare)}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=work.parent, env=environment, check=False
    )


def test_pieces_are_small_enough_and_hold_no_compiled_or_shipped_weights(packed: tuple[Path, Packed]) -> None:
    folder, told = packed
    assert len(told.pieces) > 3 and all(size <= 100_000 for size in told.pieces.values())
    assert sum(told.pieces.values()) == sum(path.stat().st_size for path in folder.glob("pack-*.part"))
    names = {path.name for path in folder.iterdir()}
    assert names == {"run.py", "manifest.json", *told.pieces}


def test_pieces_come_over_several_calls_and_damaged_ones_count_as_missing(
    packed: tuple[Path, Packed], tmp_path: Path
) -> None:
    folder, told = packed
    names = list(told.pieces)
    first, work = tmp_path / "first", tmp_path / "work"
    first.mkdir()
    work.mkdir()
    assert pack_runner.take_in(first, work) == ["manifest.json"]
    shutil.copy(folder / "manifest.json", first)
    shutil.copy(folder / names[0], first)
    (first / names[1]).write_bytes(b"torn")
    assert pack_runner.take_in(first, work) == names[1:]
    assert pack_runner.take_in(folder, work) == []
    unpacked = pack_runner.unpack(work)
    assert (unpacked / "code/model/training/remote.py").is_file()
    assert (unpacked / "generator/compact.safetensors").is_file()
    assert not list(unpacked.rglob("__pycache__")) and not (unpacked / "code/model/weights").exists()
    assert pack_runner.unpack(work) == unpacked  # once
    (tmp_path / "run").mkdir()
    said = run(folder, tmp_path / "elsewhere", tmp_path / "out", "--help")
    assert "--decoder-lr" in said.stdout, said.stderr


def test_a_run_with_missing_pieces_says_which(packed: tuple[Path, Packed], tmp_path: Path) -> None:
    folder, told = packed
    here = tmp_path / "here"
    here.mkdir()
    for name in ("run.py", "manifest.json"):
        shutil.copy(folder / name, here)
    said = run(here, tmp_path / "work", tmp_path / "out")
    assert said.returncode == pack_runner.MISSING
    assert said.stdout.strip() == f"still missing: {', '.join(told.pieces)}"


def test_packed_run_and_brought_home_then_run_from_there(
    packed: tuple[Path, Packed], materials: Path, tmp_path: Path
) -> None:
    folder, _ = packed
    work, out, checkpoint = tmp_path / "work", tmp_path / "out", tmp_path / "checkpoint"
    said = run(folder, work, out, "--minutes", "0.02", "--final")
    assert said.returncode == 0, said.stderr
    assert CODE_SEEN.format(work / "pack/code/model/__init__.py") in said.stdout  # and no installed one
    names = {path.name for path in out.iterdir()}
    assert names == {"network.json", "report.json", "metrics.jsonl", "weights-0.safetensors"}
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == json.loads((out / "report.json").read_text())["steps"]
    told = bring_home(out, checkpoint, "tiny@1", {"data": "two repositories"})
    assert told["provenance"]["data_sha256"] == packed[1].data_sha256 and told["provenance"]["seed"] == 0
    assert told["provenance"]["data"] == "two repositories" and told["provenance"]["steps"] > 0
    assert set(told["evaluation"]["em"]) >= {"none", "text", "dense"}
    found = load_checkpoint(checkpoint, "tiny@1", HIDDEN_SIZE)
    assert found.config.fuser.n_layers == 1 and found.config.adapter is not None

    again = tmp_path / "again"
    write_pack(plan(materials, start=checkpoint, max_bytes=1 << 24), again)
    said = run(again, tmp_path / "work2", tmp_path / "out2", "--minutes", "0.01", "--decoder-lr", "0")
    assert said.returncode == 0, said.stderr
    bring_home(tmp_path / "out2", tmp_path / "second", "tiny@1", {})
    second = load_checkpoint(tmp_path / "second", "tiny@1", HIDDEN_SIZE)
    adapters = [name for name in found.tensors if name.startswith("adapter.")]
    assert adapters
    assert all(bool((found.tensors[name] == second.tensors[name]).all()) for name in adapters)


def test_what_cannot_be_packed_is_named(materials: Path, tmp_path: Path) -> None:
    missing = replace(plan(materials), rows=tmp_path / "no.xz")
    with pytest.raises(CannotPack, match=r"no\.xz is no file"):
        write_pack(missing, tmp_path / "pack")
    with pytest.raises(ModelNotFound, match=r"holds no \.safetensors weights"):
        write_pack(replace(plan(materials), generator=tmp_path), tmp_path / "pack")
    with pytest.raises(CannotPack, match="give --start a checkpoint's folder"):
        write_pack(plan(materials, start=tmp_path), tmp_path / "pack")


def test_an_older_pack_in_the_folder_is_replaced(materials: Path, tmp_path: Path) -> None:
    (tmp_path / "pack-99.part").write_bytes(b"old")
    told = write_pack(plan(materials, max_bytes=1 << 24), tmp_path)
    assert sorted(path.name for path in tmp_path.glob("pack-*")) == list(told.pieces) == ["pack-00.part"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "is no JSON object"),
        ("{}", "of this version"),
    ],
)
def test_results_that_are_none_are_named(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "network.json").write_text(content)
    with pytest.raises(NoResults, match=said):
        bring_home(tmp_path, tmp_path / "out", "tiny@1", {})


def test_a_missing_piece_of_the_weights_is_named(tmp_path: Path) -> None:
    fuser = {"hidden_size": 32, "token_norm": 1.0, "lora_targets": ["q_proj"]}
    projector = {"hidden_size": 32, "token_norm": 1.0}
    network = {"fuser": fuser, "projector": projector, "decoder_rank": 0, "decoder_alpha": 0.0}
    (tmp_path / "network.json").write_text(json.dumps(network))
    with pytest.raises(ModelCorrupt, match="lacks pieces of the weights"):
        bring_home(tmp_path, tmp_path / "out", "tiny@1", {})


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What a run leaves, in two pieces, with a report of them."""
    folder = tmp_path / "results"
    folder.mkdir()
    sizes = {"hidden_size": 32, "token_norm": 1.0}
    network = {
        "fuser": sizes | {"lora_targets": []},
        "projector": sizes,
        "decoder_rank": 0,
        "decoder_alpha": 0.0,
    }
    (folder / "network.json").write_text(json.dumps(network))
    write_pieces(folder, {name: torch.ones(8) for name in ("a", "b")}, most_bytes=32)
    (folder / "report.json").write_text(json.dumps({"steps": 3, "files": digests(folder)}))
    return folder


def test_results_of_one_run_are_taken(results: Path, tmp_path: Path) -> None:
    assert bring_home(results, tmp_path / "out", "tiny@1", {})["parameters"] == 16


def test_the_last_piece_missing_is_named(results: Path, tmp_path: Path) -> None:
    (results / "weights-1.safetensors").unlink()
    with pytest.raises(NoResults, match=r"lacks weights-1\.safetensors, which its report names"):
        bring_home(results, tmp_path / "out", "tiny@1", {})


def test_a_report_of_another_network_is_refused(results: Path, tmp_path: Path) -> None:
    text = (results / "network.json").read_text()
    (results / "network.json").write_text(text.replace("32", "64"))
    with pytest.raises(NoResults, match=r"network\.json is damaged or of another run than the report"):
        bring_home(results, tmp_path / "out", "tiny@1", {})


def test_a_piece_of_another_run_is_refused(results: Path, tmp_path: Path) -> None:
    shutil.copy(results / "weights-0.safetensors", results / "weights-2.safetensors")
    with pytest.raises(NoResults, match=r"weights-2\.safetensors, which its report does not name"):
        bring_home(results, tmp_path / "out", "tiny@1", {})


def local_plan(materials: Path, work: Path, **changes: object) -> RunPlan:
    records = sorted(materials.glob("records*.jsonl.xz"))
    base = RunPlan(
        materials / "tiny.gguf", tokenizer_json(), "tiny@1", records, None, 2, 0.02, 0, SIZES, work
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_run_here_leaves_a_checkpoint_and_its_report(materials: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    told = run_here(
        local_plan(materials, tmp_path / "work"), tmp_path / "checkpoint", {"seed": 0}, heard.append
    )
    assert told["provenance"]["steps"] > 0 and "dense" in told["evaluation"]["em"]
    assert load_checkpoint(tmp_path / "checkpoint", "tiny@1", HIDDEN_SIZE).config.provenance["seed"] == 0
    assert any("loss_" in line for line in heard)
    page = page_of(told, tmp_path / "work" / "results" / "metrics.jsonl")
    assert "| dense | " in page and "| step | loss_" in page and "`auto` would tell it: " in page
    rows = read_rows(tmp_path / "work" / "rows.jsonl.xz")
    assert len(rows) == 2 and all(row.target.strip() and row.hits for row in rows)


def test_one_repository_cannot_judge_itself(materials: Path, tmp_path: Path) -> None:
    write_repositories(tmp_path / "one.jsonl.xz", [repository("alone")])
    lonely = local_plan(materials, tmp_path / "work", records=[tmp_path / "one.jsonl.xz"])
    with pytest.raises(RunFailed, match="two are needed"):
        run_here(lonely, tmp_path / "checkpoint", {}, print)


def test_a_run_that_fails_says_how_to_go_on(materials: Path, tmp_path: Path) -> None:
    wrong = local_plan(materials, tmp_path / "work", flags=("--layers", "none"))
    with pytest.raises(RunFailed, match="The same command goes on"):
        run_here(wrong, tmp_path / "checkpoint", {}, print)


def test_a_generator_in_a_folder_is_trained_too(materials: Path, tmp_path: Path) -> None:
    plan = local_plan(materials, tmp_path / "work", weights=materials / "tiny")
    told = run_here(plan, tmp_path / "checkpoint", {}, print)
    assert told["provenance"]["steps"] > 0


def test_ablations_change_one_setting_at_a_time_and_go_on(materials: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    flags = (*SIZES, "--steps", "6", "--align", "0", "--kl", "0.1")
    flags += ("--budgets", "0", "4", "--score-minutes", "0.1")
    plan = local_plan(materials, tmp_path / "work", flags=flags)
    vary = ["n-vectors=4", "leaves-only=yes"]
    table = ablate_here(plan, vary, tmp_path / "out", heard.append)
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        "| base",
        "| n-vectors=4",
        "| leaves-only=yes",
    ]
    reports = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert all({"dense:0", "dense:4"} <= report["em"].keys() for report in reports.values())
    sizes = json.loads((tmp_path / "work" / "n-vectors=4" / "results" / "network.json").read_text())
    assert sizes["fuser"]["n_vectors"] == sizes["projector"]["n_vectors"] == 4
    assert any('"scored":' in line for line in heard) and any("kl_dense" in line for line in heard)
    again: list[str] = []
    assert ablate_here(plan, vary, tmp_path / "out", again.append) == table
    assert not any("loss_" in line for line in again)


def test_a_variant_that_fails_is_told_in_the_table(materials: Path, tmp_path: Path) -> None:
    plan = local_plan(materials, tmp_path / "work", flags=(*SIZES, "--steps", "1"))
    with pytest.raises(RunFailed):
        ablate_here(plan, ["layers=none"], tmp_path / "out", print)
    assert "| layers=none | did not end |" in (tmp_path / "out" / "ablation.md").read_text()


@pytest.mark.parametrize(
    ("dense", "text", "random", "best"),
    [(0.4, 0.3, 0.2, "dense"), (0.4, 0.5, 0.2, "text"), (0.4, 0.3, 0.4, "text"), (0.2, 0.1, 0.1, "text")],
)
def test_dense_is_best_where_it_beats_all_others(dense: float, text: float, random: float, best: str) -> None:
    arms = {"none": 0.2, "text": text, "dense": dense, "random": random}
    assert best_context({arm: {"a": value - 0.1, "b": value + 0.1} for arm, value in arms.items()}) == best
    assert best_context({"dense": {"a": 1.0}}) == "text"

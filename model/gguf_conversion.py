"""GGUF files made quick to load: dequantised once into a folder beside the file.

Owns that folder: when it is valid, how it is made and replaced. Reading a GGUF takes many
seconds at each start (its vocabulary is parsed element by element, three times over), reading
the folder a fraction of one.

Layout of `NAME.gguf.converted`: a model's folder as transformers writes it, weights in
float16 (whose rounding is far below a quantised weight's own), and `conversion.json`, which
says of what file and in which format it was made and what it holds.
"""

from __future__ import annotations

import contextlib
import copy
import glob
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, modeling_gguf_pytorch_utils

from model.gguf_check import check_gguf
from model.local_files import content_id

log = logging.getLogger(__name__)

FORMAT = 1
RECORD_NAME = "conversion.json"
ABANDONED_AFTER_S = 3600


def converted_folder(gguf: Path) -> Path:
    """Where the conversion of `gguf` lies, made or not."""
    return gguf.with_name(gguf.name + ".converted")


def ensure_converted(gguf: Path, rebuild: bool = False) -> Path | None:
    """The valid conversion of `gguf`, made now if need be; None where it cannot be kept on disk.

    Raises ModelCorrupt for a damaged GGUF, and whatever transformers raises on one that it
    cannot read.
    """
    folder = converted_folder(gguf)
    if not rebuild and is_valid(gguf, folder):
        return folder
    check_gguf(gguf)
    log.info("converting %s once, for quick starts", gguf.name)
    try:
        work = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=gguf.parent))
    except OSError as error:
        log.warning("%s cannot be written (%s): %s is converted at each start", gguf.parent, error, gguf.name)
        return None
    try:
        _remove_abandoned(folder)
        _convert(gguf, work)
        return _publish(gguf, work, folder, rebuild)
    except OSError as error:
        log.warning("the conversion of %s cannot be kept (%s)", gguf.name, error)
        return None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def is_valid(gguf: Path, folder: Path) -> bool:
    """Whether `folder` was made of this very file, in this format, and is whole."""
    try:
        record = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        return bool(record == _record(gguf, folder))
    except (OSError, ValueError):
        return False


def load_gguf(gguf: Path) -> tuple[PreTrainedModel, object]:
    """Model (float32, on the CPU) and tokenizer straight from the file; slow."""
    where = {"gguf_file": gguf.name, "local_files_only": True}
    with _without_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **where)
        model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), dtype=torch.float32, **where)
    return model, tokenizer


def _record(gguf: Path, folder: Path) -> dict[str, object]:
    stat = gguf.stat()
    files = sorted(path for path in folder.iterdir() if path.name != RECORD_NAME)
    return {
        "format": FORMAT,
        "gguf_bytes": stat.st_size,
        "gguf_mtime_ns": stat.st_mtime_ns,
        "files": [path.name for path in files],
        "content": content_id(files),
    }


def _convert(gguf: Path, work: Path) -> None:
    model, tokenizer = load_gguf(gguf)
    save_file(_unique_weights(model), work / "model.safetensors", metadata={"format": "pt"})
    config = copy.deepcopy(model.config)
    config.dtype = torch.float16
    for trace in ("quantization_config", "_name_or_path"):
        with contextlib.suppress(AttributeError):
            delattr(config, trace)
    config.save_pretrained(work)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(work)
    tokenizer.save_pretrained(work)  # type: ignore[attr-defined]


def _unique_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Each tensor once (tied ones are tied again on loading), in float16 unless it overflows there."""
    weights: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict().items():
        weights.setdefault(tensor.data_ptr(), (name, tensor))
    return {name: _halved(tensor) for name, tensor in weights.values()}


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.to(torch.float16).contiguous()
    return half if bool(torch.isfinite(half).all()) else tensor.contiguous()


def _remove_abandoned(folder: Path) -> None:
    """What conversions left behind that were killed."""
    for work in folder.parent.glob(glob.escape(folder.name) + ".*"):
        if time.time() - work.stat().st_mtime > ABANDONED_AFTER_S:
            shutil.rmtree(work, ignore_errors=True)


def _publish(gguf: Path, work: Path, folder: Path, rebuild: bool) -> Path:
    if not rebuild and is_valid(gguf, folder):  # another process was quicker
        return folder
    (work / RECORD_NAME).write_text(json.dumps(_record(gguf, work), indent=1), encoding="utf-8")
    work.chmod(0o755)  # a temporary folder is for its owner alone
    shutil.rmtree(folder, ignore_errors=True)
    try:
        work.rename(folder)
    except OSError:
        if not is_valid(gguf, folder):
            raise
    return folder


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    """The GGUF reader draws its bar with tqdm itself, past transformers' own switch."""
    reader: Any = modeling_gguf_pytorch_utils
    original = reader.tqdm
    reader.tqdm = partial(original, disable=True)
    try:
        yield
    finally:
        reader.tqdm = original

"""A generator's folder made small for the way to another machine, and whole again there.

Owns the format: matrices in blocks of 32 inputs, each with its smallest value, a step and sixteen levels
where the weights have such levels (those of a GGUF of type Q4_1 do), else with a step and eight bits;
everything else as it is. No reader of GGUF files is needed there.
``python -m model.training.compact_weights FOLDER`` makes the folder whole.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.errors import ModelCorrupt, ModelNotFound

COMPACT_FILE = "compact.safetensors"
WEIGHTS_FILE = "model.safetensors"
BLOCK = 32
HIGHEST_LEVEL = 15
HIGHEST_BYTE = 127
PROBED_ROWS = 64
ROUNDING = 2.0**-9
"""How far a weight may lie from its level, as a share of its block's largest: some units of float16's last
place. Weights that never had levels lie up to a thirtieth of the block's range away."""
LARGEST = 6e4
"""Steps are kept in float16."""
LEVELS, ENDS, BYTES, STEPS = ":levels", ":ends", ":bytes", ":steps"
_NOT_CARRIED = (".safetensors", ".bin", ".gguf", ".index.json", "conversion.json")


@dataclass(frozen=True)
class Compaction:
    """`n_bytes` of the compact file; the largest error of a weight, as a share of its block's largest."""

    n_bytes: int
    largest_error: float


def compact_folder(source: Path, target: Path) -> Compaction:
    """Writes `target`: the model's small files as they are, all weights in one compact file.

    Raises ModelNotFound where `source` holds no safetensors, ModelCorrupt where they cannot be read.
    """
    paths = sorted(source.glob("*.safetensors"))
    if not paths:
        raise ModelNotFound(f"{source} holds no .safetensors weights; save the model again in that format")
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.endswith(_NOT_CARRIED):
            shutil.copyfile(path, target / path.name)
    tensors: dict[str, Tensor] = {}
    largest_error = 0.0
    for path in paths:
        for name, tensor in _read(path).items():
            small = compact(name, tensor)
            largest_error = max(largest_error, _error(tensor, restored(small, tensor.dtype)[name]))
            tensors |= small
    save_file(tensors, target / COMPACT_FILE)
    return Compaction((target / COMPACT_FILE).stat().st_size, largest_error)


def restore_folder(folder: Path) -> None:
    """Writes the folder's weights in float16 beside the compact ones, unless they are there.

    Raises ModelNotFound where there are neither, ModelCorrupt where the compact file cannot be read.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return
    if not (folder / COMPACT_FILE).is_file():
        raise ModelNotFound(f"{folder} holds neither {COMPACT_FILE} nor {WEIGHTS_FILE}; unpack it again")
    whole = restored(_read(folder / COMPACT_FILE), torch.float16)
    unfinished = folder / f".{WEIGHTS_FILE}.part"
    save_file(whole, unfinished, metadata={"format": "pt"})
    unfinished.replace(folder / WEIGHTS_FILE)


def compact(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """What a tensor becomes: its levels, its bytes, or itself, by names that begin with its own."""
    fits = tensor.ndim == 2 and tensor.shape[1] % BLOCK == 0 and tensor.is_floating_point()
    if not fits or not bool((tensor.abs() < LARGEST).all()):  # also where it is not finite
        return {name: tensor.contiguous()}
    # Few rows first: nearly every matrix without levels is found out by them.
    if _as_levels(name, tensor[:PROBED_ROWS]) is not None:
        levels = _as_levels(name, tensor)
        if levels is not None:
            return levels
    return _as_bytes(name, tensor)


def _as_levels(name: str, tensor: Tensor) -> dict[str, Tensor] | None:
    blocks = _blocks(tensor)
    smallest, largest = blocks.aminmax(dim=-1, keepdim=True)
    step = ((largest - smallest) / HIGHEST_LEVEL).half()
    wide = step.float()
    places = (blocks - smallest) / torch.where(wide > 0, wide, 1.0)
    levels = places.round().clamp(0, HIGHEST_LEVEL).to(torch.uint8).flatten(1)
    small = {
        f"{name}{LEVELS}": levels[:, 0::2] | levels[:, 1::2] << 4,
        f"{name}{ENDS}": torch.cat([smallest.half(), step], dim=-1),
    }
    return small if _error(tensor, restored(small, torch.float32)[name]) <= ROUNDING else None


def _as_bytes(name: str, tensor: Tensor) -> dict[str, Tensor]:
    blocks = _blocks(tensor)
    steps = (blocks.abs().amax(dim=-1) / HIGHEST_BYTE).half()
    wide = steps.float()[..., None]
    values = (blocks / torch.where(wide > 0, wide, 1.0)).round().clamp(-HIGHEST_BYTE, HIGHEST_BYTE)
    return {f"{name}{BYTES}": values.to(torch.int8).flatten(1), f"{name}{STEPS}": steps}


def restored(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors that `compact` was given: matrices in `dtype`, others in their own type."""
    whole: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key.endswith(LEVELS):
            name = key.removesuffix(LEVELS)
            ends = tensors[f"{name}{ENDS}"].float()
            pairs = torch.stack([tensor & HIGHEST_LEVEL, tensor >> 4], dim=-1)
            blocks = _blocks(pairs.flatten(1))
            whole[name] = (blocks * ends[..., 1:] + ends[..., :1]).flatten(1).to(dtype)
        elif key.endswith(BYTES):
            name = key.removesuffix(BYTES)
            steps = tensors[f"{name}{STEPS}"].float()[..., None]
            whole[name] = (_blocks(tensor) * steps).flatten(1).to(dtype)
        elif not key.endswith((ENDS, STEPS)):
            whole[key] = tensor
    return whole


def _blocks(matrix: Tensor) -> Tensor:
    """``[outputs, inputs]`` to float32 ``[outputs, blocks, BLOCK]``."""
    return matrix.float().view(len(matrix), -1, BLOCK)


def _error(tensor: Tensor, again: Tensor) -> float:
    """The largest, as a share of the largest weight of its block; 0 for what is no matrix of blocks."""
    if tensor.ndim != 2 or tensor.shape[1] % BLOCK or not tensor.numel() or torch.equal(tensor, again):
        return 0.0
    size = _blocks(tensor).abs().amax(dim=-1)
    off = (_blocks(tensor) - _blocks(again)).abs().amax(dim=-1)
    return float((off / torch.where(size > 0, size, 1.0)).max())


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelCorrupt(f"{path} cannot be read ({error}); fetch or copy it again") from error


def main() -> None:
    """Makes the folder on the command line whole."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    restore_folder(parser.parse_args().folder)


if __name__ == "__main__":
    main()

"""What a training run leaves: tensors in pieces small enough to carry, and the checkpoint made of them.

Owns the pieces' format (safetensors in half precision) and the way home. The checkpoint's own format is
`model.checkpoint`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from model.adapter import AdapterConfig
from model.checkpoint import Checkpoint
from model.checkpoint_config import CheckpointConfig
from model.errors import ModelCorrupt
from model.protocols import FimTemplate
from model.training.lean import MAPS
from model.training.network import Network, NetworkConfig

PIECE_BYTES = 15 * 2**20


def learned(network: Network) -> dict[str, Tensor]:
    """Everything learned, by the names of a checkpoint, in half precision on the CPU."""
    parts = {"fuser": network.fuser.state_dict(), "projector": network.projector.state_dict()}
    tensors = {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
    tensors |= {f"fuser.adapters.{name}": t for name, t in network.fuser_adapter.named_tensors().items()}
    if network.decoder_adapter is not None:
        tensors |= {f"adapter.{name}": t for name, t in network.decoder_adapter.named_tensors().items()}
    return {name: tensor.detach().half().cpu().contiguous() for name, tensor in tensors.items()}


def write_pieces(folder: Path, tensors: Mapping[str, Tensor], most_bytes: int = PIECE_BYTES) -> int:
    """Writes ``weights-0.safetensors`` and so on, none larger than `most_bytes`; says how many."""
    pieces: list[dict[str, Tensor]] = [{}]
    room = most_bytes
    for name, tensor in tensors.items():
        if tensor.nbytes > room:
            pieces.append({})
            room = most_bytes
        room -= tensor.nbytes
        pieces[-1][name] = tensor
    for old in folder.glob("weights-*.safetensors"):
        old.unlink()
    for number, piece in enumerate(pieces):
        safetensors.torch.save_file(piece, folder / f"weights-{number}.safetensors")
    return len(pieces)


def read_pieces(folder: Path) -> dict[str, Tensor]:
    """All pieces together; raises ModelCorrupt if there is none or one is missing between."""
    paths = sorted(folder.glob("weights-*.safetensors"), key=lambda path: int(path.stem.rpartition("-")[2]))
    if [path.stem for path in paths] != [f"weights-{number}" for number in range(len(paths))] or not paths:
        raise ModelCorrupt(f"{folder} lacks pieces of the weights; fetch the results of the run again")
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors |= safetensors.torch.load_file(path)
    return tensors


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a run's results by name: the sizes, and the pieces of the weights."""
    paths = [folder / "network.json", *sorted(folder.glob("weights-*.safetensors"))]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def checkpoint_of(
    tensors: Mapping[str, Tensor],
    config: NetworkConfig,
    generator_id: str,
    fim: FimTemplate | None,
    provenance: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
) -> Checkpoint:
    """The checkpoint of a run. Raises ModelCorrupt for numbers that are not finite."""
    if bad := sorted(name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())):
        raise ModelCorrupt(f"training left numbers that are not finite in {bad[0]}; lower the learning rates")
    adapter = (
        AdapterConfig(config.decoder_rank, config.decoder_alpha, MAPS, fim) if config.decoder_rank else None
    )
    return Checkpoint(
        CheckpointConfig(
            generator_id, config.fuser, config.projector, None, dict(provenance), evaluation, adapter
        ),
        dict(tensors),
    )

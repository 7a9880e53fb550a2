"""The checkpoint: what was learned of a fuser and a projector, as a folder.

Owns the folder's format (``config.json`` + ``model.safetensors``), the checks on reading it, the
ids that keep vectors of different weights apart, and the untrained checkpoint of a seed. The
forward passes are `model.fuser` and `model.projector`.

The generator's own weights are no part of it: the fuser borrows them, so a checkpoint fits one
generator only and is small (some 7 MB for the defaults at H = 576).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from model.adapter import PREFIX, AdapterConfig
from model.checkpoint_config import FORMAT_VERSION, CheckpointConfig, config_from_json
from model.errors import CheckpointMismatch, ModelCorrupt, ModelNotFound
from model.fuser import EncodeBatch, FuserConfig, HefFuser
from model.layers import Backbone
from model.projector import HefProjector, ProjectorConfig

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
_MOST_CONFIG_BYTES = 2**20
_AGAIN = "fetch or save the checkpoint again, or set model.checkpoint to auto"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A config and the tensors it describes, by names such as ``fuser.chunk_memory``."""

    config: CheckpointConfig
    tensors: Mapping[str, Tensor] = field(repr=False)

    @property
    def fuser_id(self) -> str:
        """Changes with the generator, the fuser's sizes and its weights; names stored vectors."""
        return f"{self._stem()}-{self._digest('fuser', self.config.fuser)}"

    @property
    def projector_id(self) -> str:
        return f"{self._stem()}-{self._digest('projector', self.config.projector)}"

    def _stem(self) -> str:
        return "hef" if self.config.seed is None else f"hef-seed{self.config.seed}"

    def _digest(self, part: str, sizes: FuserConfig | ProjectorConfig) -> str:
        digest = hashlib.sha256(
            json.dumps([FORMAT_VERSION, self.config.generator_id, dataclasses.asdict(sizes)]).encode()
        )
        # The fuser reads through the generator's layers with its adapter merged in.
        parts = (f"{part}.", PREFIX) if part == "fuser" else (f"{part}.",)
        for name in sorted(name for name in self.tensors if name.startswith(parts)):
            tensor = self.tensors[name]
            digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def take_checkpoint(
    fuser: HefFuser,
    projector: HefProjector,
    generator_id: str,
    *,
    evaluation: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    seed: int | None = None,
    adapter: tuple[AdapterConfig, Mapping[str, Tensor]] | None = None,
) -> Checkpoint:
    """A copy of what both have learned; training them further leaves it as it is.

    `adapter`: the generator's own, with its tensors by names such as ``layers.0.q_proj.down``.

    `seed` is for untrained values only. `evaluation` may say ``{"best_context": "dense"}``.
    """
    sizes, changes = adapter or (None, {})
    config = CheckpointConfig(
        generator_id, fuser.config, projector.config, seed, dict(provenance or {}), evaluation, sizes
    )
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().clone()
        for part, module in (("fuser", fuser), ("projector", projector))
        for name, tensor in module.state_dict().items()
    }
    tensors |= {f"{PREFIX}{name}": tensor.detach().cpu().clone() for name, tensor in changes.items()}
    return Checkpoint(config, tensors)


def seeded_checkpoint(
    generator_id: str, backbone: Backbone, fuser: FuserConfig, projector: ProjectorConfig, seed: int = 0
) -> Checkpoint:
    """The untrained checkpoint of `seed`: the same on every machine, made in memory.

    Its adapters do nothing and its pseudo-tokens are as long as tokens, but say nothing that the
    generator was taught to read: it drives the path, it does not help completions.
    """
    fuser_module = HefFuser(fuser, backbone, _no_text)
    projector_module = HefProjector(projector)
    fuser_module.reset(seed)
    projector_module.reset(seed)
    return take_checkpoint(fuser_module, projector_module, generator_id, seed=seed)


def build_modules(
    checkpoint: Checkpoint, backbone: Backbone, encode_batch: EncodeBatch
) -> tuple[HefFuser, HefProjector]:
    """Fuser and projector with the checkpoint's weights, on the backbone's device.

    Raises CheckpointMismatch where the backbone has other sizes, ModelCorrupt where tensors are
    missing or of another shape.
    """
    config = checkpoint.config
    if config.fuser.hidden_size != backbone.hidden_size:
        raise CheckpointMismatch(_wrong_size("this checkpoint", config, backbone.hidden_size))
    with torch.device("meta"):  # no memory is taken before the shapes are known to agree
        fuser = HefFuser(config.fuser, backbone, encode_batch, checkpoint.fuser_id)
        projector = HefProjector(config.projector, checkpoint.projector_id)
    modules = nn.ModuleDict({"fuser": fuser, "projector": projector})
    learned = {name: t for name, t in checkpoint.tensors.items() if not name.startswith(PREFIX)}
    _check_tensors(modules.state_dict(), learned)
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in learned.items()}
    modules.load_state_dict(copies, strict=True, assign=True)
    modules.to(backbone.device)
    return fuser, projector


def _check_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing, surplus = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or surplus:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"holds the unknown {', '.join(surplus)}"] if surplus else []
        raise ModelCorrupt(f"the checkpoint {' and '.join(parts)}; {_AGAIN}")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape or not tensor.is_floating_point():
            raise ModelCorrupt(
                f"the checkpoint's {name} is {tensor.dtype} {tuple(tensor.shape)}, expected "
                f"{expected[name].dtype} {tuple(expected[name].shape)}; {_AGAIN}"
            )
        if not bool(tensor.isfinite().all()):
            raise ModelCorrupt(f"the checkpoint's {name} holds numbers that are not finite; {_AGAIN}")


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes the folder, each file at once; interrupted in between, the checksum tells on reading."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()},
        metadata={"format": "pt"},
    )
    data = checkpoint.config.to_json() | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    _replace(folder / WEIGHTS_FILE, weights)
    _replace(folder / CONFIG_FILE, (json.dumps(data, indent=2) + "\n").encode())


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    temporary.replace(path)


def load_checkpoint(folder: Path, generator_id: str, hidden_size: int) -> Checkpoint:
    """Reads and checks a folder for the generator that is loaded.

    Raises ModelNotFound (no such folder), ModelCorrupt (truncated, altered, unreadable) or
    CheckpointMismatch (another generator, width or format version).
    """
    data = _read_json(folder / CONFIG_FILE)
    config = config_from_json(data, str(folder))
    if config.generator_id != generator_id:
        raise CheckpointMismatch(
            f"{folder} was made for the generator {config.generator_id!r}, loaded is {generator_id!r}; "
            "set model.name to that generator, or model.checkpoint to auto"
        )
    if config.fuser.hidden_size != hidden_size:
        raise CheckpointMismatch(_wrong_size(str(folder), config, hidden_size))
    return Checkpoint(config, _read_weights(folder / WEIGHTS_FILE, str(data.get("weights_sha256"))))


def _wrong_size(what: str, config: CheckpointConfig, hidden_size: int) -> str:
    return (
        f"{what} was made for a generator of hidden size {config.fuser.hidden_size}, loaded is one of "
        f"{hidden_size}; set model.name to {config.generator_id!r}, or model.checkpoint to auto"
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelNotFound(
            f"{path.parent} holds no checkpoint ({path.name} is missing); check model.checkpoint"
        )
    try:
        if path.stat().st_size > _MOST_CONFIG_BYTES:
            raise ModelCorrupt(f"{path} is larger than any checkpoint's config; {_AGAIN}")
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelCorrupt(f"{path} cannot be read ({error}); {_AGAIN}") from error
    if not isinstance(data, dict):
        raise ModelCorrupt(f"{path} is no JSON object; {_AGAIN}")
    return data


def _read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelCorrupt(f"{path.parent} lacks {path.name}; {_AGAIN}") from error
    except OSError as error:
        raise ModelCorrupt(f"{path} cannot be read ({error}); {_AGAIN}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelCorrupt(
            f"{path} is truncated or altered (its checksum is not the one in {CONFIG_FILE}); {_AGAIN}"
        )
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelCorrupt(f"{path} is no safetensors file ({error}); {_AGAIN}") from error


def _no_text(texts: object) -> list[list[int]]:
    raise RuntimeError("this fuser was made for its weights only; build it with build_modules to encode text")

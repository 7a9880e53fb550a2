"""A checkpoint's ``config.json``: its fields, and the strict reading of them.

Owns the format version and what each field means. Files and weights are `model.checkpoint`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from model.adapter import AdapterConfig
from model.errors import CheckpointMismatch, ModelCorrupt
from model.fuser import FuserConfig
from model.projector import ProjectorConfig
from model.protocols import FimOrder, FimTemplate

FORMAT_VERSION = 2
_AGAIN = "fetch or save the checkpoint again, or set model.checkpoint to auto"
_Sizes = TypeVar("_Sizes", FuserConfig, ProjectorConfig)


@dataclass(frozen=True)
class CheckpointConfig:
    """What is known of a checkpoint beside its weights.

    `seed` is set for untrained weights only. `provenance` says how it was trained (commit, data,
    seed of the run). `evaluation` is the record of the comparison of context modes, or None; its
    ``best_context`` decides what `context.mode = auto` uses. `adapter` says how the generator itself was
    changed; None for a generator as it is.
    """

    generator_id: str
    fuser: FuserConfig
    projector: ProjectorConfig
    seed: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] | None = None
    adapter: AdapterConfig | None = None

    def __post_init__(self) -> None:
        for name in ("hidden_size", "n_vectors", "dimension"):
            fuser, projector = getattr(self.fuser, name), getattr(self.projector, name)
            if fuser != projector:
                raise ValueError(f"fuser and projector differ in {name}: {fuser} and {projector}")

    @property
    def prefers_dense(self) -> bool:
        """Whether these weights were measured to help more as vectors than as text."""
        return (
            self.seed is None
            and self.evaluation is not None
            and self.evaluation.get("best_context") == "dense"
        )

    def to_json(self) -> dict[str, Any]:
        return {"format_version": FORMAT_VERSION} | dataclasses.asdict(self)


def config_from_json(data: Mapping[str, Any], where: str) -> CheckpointConfig:
    """Raises CheckpointMismatch for another format version, ModelCorrupt for a field amiss."""
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointMismatch(
            f"{where} has the checkpoint format {version!r}, this hef-lsp reads {FORMAT_VERSION}; "
            "update hef-lsp (pip install -U hef-lsp), or set model.checkpoint to auto"
        )
    try:
        return CheckpointConfig(
            generator_id=_typed(data, "generator_id", str),
            fuser=_sizes(FuserConfig, _typed(data, "fuser", dict)),
            projector=_sizes(ProjectorConfig, _typed(data, "projector", dict)),
            seed=_typed(data, "seed", int, type(None)),
            provenance=_typed(data, "provenance", dict),
            evaluation=_typed(data, "evaluation", dict, type(None)),
            adapter=_adapter(_typed(data, "adapter", dict, type(None))),
        )
    except ValueError as error:
        raise ModelCorrupt(f"the config of {where} is amiss: {error}; {_AGAIN}") from error


def _typed(data: Mapping[str, Any], name: str, *kinds: type) -> Any:  # Any: JSON, the wire
    if name not in data:
        raise ValueError(f"{name} is missing")
    value = data[name]
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"{name} is {value!r}, expected {names}")
    return value


def _adapter(data: Mapping[str, Any] | None) -> AdapterConfig | None:
    if data is None:
        return None
    targets = tuple(
        _typed({"targets": item}, "targets", str) for item in _typed(data, "targets", list, tuple)
    )
    fim = _typed(data, "fim", dict, type(None))
    alpha = float(_typed(data, "alpha", int, float))
    return AdapterConfig(_typed(data, "rank", int), alpha, targets, None if fim is None else _fim(fim))


def _fim(data: Mapping[str, Any]) -> FimTemplate:
    stop = tuple(_typed({"stop": item}, "stop", str) for item in _typed(data, "stop", list, tuple))
    prefix, suffix, middle = (_typed(data, name, str) for name in ("prefix", "suffix", "middle"))
    return FimTemplate(prefix, suffix, middle, FimOrder(_typed(data, "order", str)), stop)


def _sizes(cls: type[_Sizes], data: Mapping[str, Any]) -> _Sizes:
    hints = get_type_hints(cls)
    if unknown := sorted(data.keys() - hints.keys()):
        raise ValueError(f"{cls.__name__} has no {', '.join(unknown)}")
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        if hint is int:
            values[name] = _typed(data, name, int)
        elif hint is float:
            values[name] = float(_typed(data, name, int, float))
        else:  # a tuple of names
            values[name] = tuple(_typed({name: item}, name, str) for item in _typed(data, name, list, tuple))
    return cls(**values)

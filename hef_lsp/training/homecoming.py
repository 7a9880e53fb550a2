"""Results of a training run brought home: pieces of weights and a report become a checkpoint.

Owns the checks and the provenance. The pieces' format is `model.training.results`', the checkpoint's
`model.checkpoint`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.checkpoint import save_checkpoint
from model.fuser import FuserConfig
from model.projector import ProjectorConfig
from model.training.network import NetworkConfig
from model.training.remote import SMOLLM_FIM
from model.training.results import checkpoint_of, read_pieces

COUNTED = ("seed", "data_sha256", "steps", "examples", "spent_s")
EVALUATED = ("em_before", "em", "nll_before", "nll")


class NoResults(Exception):
    """A file of the results is missing or is not what it should be; the message says which."""


def bring_home(
    results: Path, output: Path, generator_id: str, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes the checkpoint to the folder `output`; gives what it says of itself.

    Raises NoResults, or `model.errors.ModelCorrupt` for pieces that are missing, damaged or hold numbers
    that are not finite.
    """
    config = _config(results / "network.json")
    path = results / "report.json"
    report: dict[str, Any] = _json(path) if path.is_file() else {}
    _check_one_run(results, report)
    counts: dict[str, Any] = {name: report[name] for name in COUNTED if name in report}
    told: dict[str, Any] = {**provenance, **counts}
    evaluation: dict[str, Any] = {name: report[name] for name in EVALUATED if name in report}
    if "em" in evaluation:
        evaluation["best_context"] = best_context(evaluation["em"])
    tensors = read_pieces(results)
    checkpoint = checkpoint_of(tensors, config, generator_id, SMOLLM_FIM, told, evaluation or None)
    save_checkpoint(output, checkpoint)
    return {
        "generator": generator_id,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "bytes": sum(path.stat().st_size for path in output.iterdir()),
        "provenance": told,
        "evaluation": evaluation,
    }


def best_context(matches: Mapping[str, Mapping[str, float]]) -> str:
    """``dense`` where vectors are right at least as often as text, and more often than another repository's
    and than none, on the mean of the benchmarks; else ``text``. `matches`: arm to benchmark to share."""
    means = {arm: sum(of.values()) / len(of) for arm, of in matches.items() if of}
    dense = means.get("dense", 0.0)
    rivals = max(means.get("random", 1.0), means.get("none", 1.0))
    return "dense" if dense >= means.get("text", 1.0) and dense > rivals else "text"


def _check_one_run(results: Path, report: Mapping[str, Any]) -> None:
    """The report names every file of its run; one of an older version, that does not, is not checked."""
    named: Mapping[str, str] = report.get("files", {})
    again = "copy the whole folder of one run again"
    for name, sha256 in named.items():
        if not (results / name).is_file():
            raise NoResults(f"{results} lacks {name}, which its report names; {again}")
        if hashlib.sha256((results / name).read_bytes()).hexdigest() != sha256:
            raise NoResults(f"{results / name} is damaged or of another run than the report; {again}")
    if named and (surplus := {path.name for path in results.glob("weights-*.safetensors")} - named.keys()):
        raise NoResults(f"{results} holds {min(surplus)}, which its report does not name; {again}")


def _config(path: Path) -> NetworkConfig:
    data = _json(path)
    try:
        fuser = {**data["fuser"], "lora_targets": tuple(data["fuser"]["lora_targets"])}
        return NetworkConfig(
            FuserConfig(**fuser),
            ProjectorConfig(**data["projector"]),
            data["decoder_rank"],
            data["decoder_alpha"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NoResults(f"{path} is not of a run of this version: {error!r}") from error


def _json(path: Path) -> dict[str, Any]:  # Any: JSON, the wire
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoResults(f"{path} cannot be read ({error}); fetch the results of the run again") from error
    if not isinstance(data, dict):
        raise NoResults(f"{path} is no JSON object; fetch the results of the run again")
    return data

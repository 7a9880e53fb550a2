"""Samples for the gate on disk, one file a repository: made by several processes, or over several days.

Owns the file and what makes it another one. Samples are made by `hef_lsp.training.gate_samples`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.candidates import FEATURES
from model.gate_fitting import GateSample, Line


@dataclass(frozen=True)
class KeptSamples:
    """A `folder` of a generator's samples, of at most so many places a repository, drawn by `seed`.

    `cursors` is the number of places and their kind.
    """

    folder: Path
    model_id: str
    cursors: str
    seed: int

    def read(self, repository: str) -> list[Line] | None:
        """None for what was not made yet, or cannot be read."""
        try:
            with np.load(self._path(repository), allow_pickle=False) as arrays:
                features = torch.from_numpy(arrays["features"].astype(np.float32))
                right = torch.from_numpy(arrays["right"])
                sizes = arrays["n_candidates"].tolist()
                steps = zip(torch.split(features, sizes), torch.split(right, sizes), strict=True)
                samples = [GateSample(*step) for step in steps]
                ends = np.cumsum(arrays["n_steps"]).tolist()
        except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile):
            return None
        return [samples[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]

    def write(self, repository: str, lines: Sequence[Line]) -> None:
        """Whole or not at all. Raises OSError."""
        samples = [sample for line in lines for sample in line]
        empty = torch.zeros(0, len(FEATURES)), torch.zeros(0, dtype=torch.bool)
        path = self._path(repository)
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                features=torch.cat([empty[0], *(sample.features for sample in samples)]).half().numpy(),
                right=torch.cat([empty[1], *(sample.right for sample in samples)]).numpy(),
                n_candidates=np.array([len(sample.right) for sample in samples], dtype=np.int32),
                n_steps=np.array([len(line) for line in lines], dtype=np.int32),
            )
        part.replace(path)

    def _path(self, repository: str) -> Path:
        told = "\n".join((repository, self.model_id, self.cursors, str(self.seed), *FEATURES))
        return self.folder / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.npz"

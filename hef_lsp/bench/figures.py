"""What stands beside every measurement: percentiles, the machine, the commit, the settings.

Owns nothing measured. Folders appear by name only, so that a report can be shown around.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hef_lsp import __version__

Report = dict[str, Any]
_GIT_PATIENCE_S = 10


@dataclasses.dataclass(frozen=True)
class Spread:
    """`n` values in milliseconds. All zeros where there are none."""

    n: int
    p50_ms: float
    p95_ms: float
    max_ms: float

    @staticmethod
    def of(values_ms: Sequence[float]) -> Spread:
        if not values_ms:
            return Spread(0, 0.0, 0.0, 0.0)
        p50, p95 = np.percentile(values_ms, (50, 95))
        return Spread(len(values_ms), round(float(p50), 2), round(float(p95), 2), round(max(values_ms), 2))


def percentiles(values: Sequence[float]) -> Report:
    """``{"p50": …, "p95": …}`` to a tenth; zeros where there are no values."""
    p50, p95 = np.percentile(values, (50, 95)) if values else (0.0, 0.0)
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}


def setting_of(kind: str) -> Report:
    """When, where and with which code a report of `kind` was made."""
    return {
        "bench": kind,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": __version__,
        "commit": commit_of(Path(__file__).parent),
        "machine": machine(),
    }


def machine() -> Report:
    """Processor, cores, memory and accelerator; imports torch."""
    from model.hardware import describe_hardware

    hardware = dataclasses.asdict(describe_hardware())
    return {
        **hardware,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def commit_of(folder: Path) -> str | None:
    """The commit of the checkout around `folder`, with ``+`` where it was changed since; None outside one."""
    git = shutil.which("git")
    if git is None:
        return None
    head = _git(git, folder, "rev-parse", "--short=12", "HEAD")
    if head is None:
        return None
    return head + ("+" if _git(git, folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(git: str, folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_GIT_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def write_json(report: Mapping[str, Any], file: Path) -> None:
    """The report as JSON. Raises OSError."""
    file.write_text(json.dumps(report, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")

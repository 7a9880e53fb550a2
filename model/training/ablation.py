"""The same run with one setting changed at a time: what each choice is worth.

Owns the variants, their order and the table. Each is a run of `model.training.remote` in a folder of its own;
one that has left its report is not run again. Needs torch and transformers alone.

    python -m model.training.ablation --work WORK --out OUT --vary layers=4,8 leaves-only=yes -- ARGUMENTS
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE = "base"
YES = "yes"
"""The value of a setting that has none."""
_SHOWN = ("none", "text", "dense", "random")
_PLACES = ("--state", "--out")


@dataclass(frozen=True)
class Variant:
    """`arguments` come after those of all variants, and so stand above them."""

    name: str
    arguments: tuple[str, ...]


def variants(vary: Sequence[str]) -> list[Variant]:
    """The base, then each value of each setting, ``NAME=VALUE,VALUE``. Raises ValueError."""
    found = [Variant(BASE, ())]
    for text in vary:
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise ValueError(f"{text!r} names no setting and values; write it as layers=4,8")
        for value in values.split(","):
            flag = f"--{name}"
            found.append(Variant(f"{name}={value}", (flag,) if value == YES else (flag, value)))
    return found


def main() -> int:
    """Reads the command line; 0 if all variants left a report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the states between calls")
    parser.add_argument("--out", type=Path, required=True, help="folder of the table and the reports")
    parser.add_argument("--vary", nargs="+", required=True, help="NAME=VALUE,VALUE of model.training.remote")
    parser.add_argument("arguments", nargs="*", help="of every run, after --")
    options = parser.parse_args()
    if given := [name for name in _PLACES if name in options.arguments]:
        parser.error(f"{given[0]} is set for each variant; leave it out")
    try:
        chosen = variants(options.vary)
    except ValueError as error:
        parser.error(str(error))
    reports = {one.name: _run(one, options.work, options.arguments) for one in chosen}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ablation.json").write_text(json.dumps(reports, indent=1) + "\n")
    (options.out / "ablation.md").write_text(table_of(reports))
    sys.stdout.write(table_of(reports))
    return 0 if all(reports.values()) else 1


def _run(variant: Variant, work: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """The report of one variant, empty if it failed."""
    folder = work / variant.name.replace("/", "_")
    report = folder / "results" / "report.json"
    if not (report.is_file() and "nll" in json.loads(report.read_text())):
        sys.stdout.write(f"{variant.name}\n")
        sys.stdout.flush()
        command = [sys.executable, "-m", "model.training.remote", *arguments, *variant.arguments, "--final"]
        command += ["--state", str(folder / "state"), "--out", str(report.parent)]
        if subprocess.run(command, check=False).returncode or not report.is_file():
            return {}
    return dict(json.loads(report.read_text()))


def table_of(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table: nats and exact matches by arm, means of the benchmarks; fewer tokens beside."""
    lines = [
        "| variant | " + " | ".join(f"{arm}: nats, EM" for arm in _SHOWN) + " | dense with fewer: EM |",
        "|---" * (len(_SHOWN) + 2) + "|",
    ]
    for name, report in reports.items():
        if "nll" not in report:
            lines.append(f"| {name} | did not end |" + " |" * len(_SHOWN))
            continue
        cells = [f"{_nats(report['nll'], arm):.3f}, {_mean(report['em'][arm]):.3f}" for arm in _SHOWN]
        fewer = [arm for arm in report["em"] if arm.startswith("dense:")]
        cells.append(", ".join(f"{arm.partition(':')[2]}: {_mean(report['em'][arm]):.3f}" for arm in fewer))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _nats(known: Mapping[str, float], arm: str) -> float:
    """The mean over the benchmarks of ``nll_BENCHMARK_ARM``."""
    found = [value for name, value in known.items() if name.endswith(f"_{arm}")]
    return sum(found) / len(found)


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


if __name__ == "__main__":
    sys.exit(main())

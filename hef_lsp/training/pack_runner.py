"""Runs a training pack on a machine that has torch and transformers and nothing else of ours.

Copied into the pack as ``run.py``; Python's standard library alone. Pieces may arrive over several calls:

    python run.py --pieces HERE --work OUTSIDE --out RESULTS -- --minutes 18 --until-s 560 --compile

takes in what lies in HERE, says what is still missing (exit code 3), and once all is there unpacks it below
OUTSIDE and runs the training with the arguments after ``--``. Called again, the training goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

MISSING = 3
MANIFEST = "manifest.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pieces", type=Path, required=True, help="folder with pieces and the manifest")
    parser.add_argument("--work", type=Path, required=True, help="folder that lasts between calls")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--vary", nargs="+", default=[], help="ablation: NAME=VALUE,VALUE, one at a time")
    parser.add_argument("training", nargs="*", help="arguments of the training, after --")
    options = parser.parse_args()
    # The training runs in another folder.
    options.work, options.out = options.work.resolve(), options.out.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    missing = take_in(options.pieces, options.work)
    if missing:
        sys.stdout.write(f"still missing: {', '.join(missing)}\n")
        return MISSING
    unpacked = unpack(options.work)
    manifest = json.loads((unpacked / "pack.json").read_text())
    path = os.pathsep.join([str(unpacked / "code"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
    restoring = [sys.executable, "-m", "model.training.compact_weights", str(unpacked / manifest["restore"])]
    if failed := subprocess.run(restoring, env=environment, cwd=unpacked, check=False).returncode:
        return failed
    arguments = []
    for name, value in manifest["arguments"].items():
        values = value if isinstance(value, list) else [value]
        arguments += [name, *(str(unpacked / item) for item in values)]
    arguments += manifest["flags"]
    work, out = str(options.work), str(options.out)
    if options.vary:
        module = ["model.training.ablation", "--work", work, "--out", out, "--vary", *options.vary, "--"]
    else:
        module = ["model.training.remote", "--state", str(options.work / "state"), "--out", out]
    command = [sys.executable, "-m", *module, *arguments, *options.training]
    return subprocess.run(command, env=environment, cwd=unpacked, check=False).returncode


def take_in(pieces: Path, work: Path) -> list[str]:
    """Copies whole pieces to `work`; the names of those that are missing or damaged."""
    if (pieces / MANIFEST).is_file():
        shutil.copy(pieces / MANIFEST, work / MANIFEST)
    if not (work / MANIFEST).is_file():
        return [MANIFEST]
    missing = []
    for piece in json.loads((work / MANIFEST).read_text())["pieces"]:
        here, there = pieces / piece["name"], work / piece["name"]
        if not is_whole(there, piece["sha256"]):
            if is_whole(here, piece["sha256"]):
                shutil.copy(here, there)
            else:
                missing.append(piece["name"])
    return missing


def is_whole(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == sha256


def unpack(work: Path) -> Path:
    """The pack's folder, unpacked once."""
    folder = work / "pack"
    if folder.is_dir():
        return folder
    joined = work / "pack.tar"
    with joined.open("wb") as file:
        for piece in json.loads((work / MANIFEST).read_text())["pieces"]:
            with (work / piece["name"]).open("rb") as part:
                shutil.copyfileobj(part, file)
    unfinished = work / "pack.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    with tarfile.open(joined) as tar:
        tar.extractall(unfinished, filter="data")
    joined.unlink()
    unfinished.rename(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())

"""A workspace in which everything that tools tend to run is planted: none of it runs.

Each planted thing would leave a file behind. Whatever way of starting is documented starts beside it.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from tally import FULL
from watching import WatchedWire, real, stub

ROOT = Path(__file__).resolve().parents[2]
SHADOWS = (
    "torch",
    "model",
    "indexer",
    "typer",
    "numpy",
    "sqlite3",
    "asyncio",
    "logging",
    "pygls",
    "transformers",
)
SHADOWS += ("sitecustomize", "usercustomize", "conftest", "setup", "tree_sitter", "hnswlib", "tokenizers")
HOOKS = ("post-checkout", "pre-commit", "post-index-change", "fsmonitor-watchman", "reference-transaction")


class Bomb:
    """Runs when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    marks = tmp_path / "ran"
    marks.mkdir()
    (root / ".git" / "hooks").mkdir(parents=True)
    for name in SHADOWS:
        _write(root / f"{name}.py", f"open({str(marks / name)!r}, 'w').close()\n")
        _write(
            root / ".venv" / "lib" / f"{name}.py", f"open({str(marks / ('venv-' + name))!r}, 'w').close()\n"
        )
    _write(root / "evil.pth", f"import os; open({str(marks / 'pth')!r}, 'w').close()\n")
    for hook in HOOKS:
        _write(root / ".git" / "hooks" / hook, f"#!/bin/sh\ntouch {marks / hook}\n")
        (root / ".git" / "hooks" / hook).chmod(0o755)
    _write(root / ".git" / "HEAD", "ref: refs/heads/main\n")
    touching = "\n".join(
        f"\t{key} = touch {marks / key}" for key in ("fsmonitor", "pager", "editor", "sshCommand")
    )
    _write(root / ".git" / "config", f"[core]\n{touching}\n[alias]\n\tstatus = !touch {marks / 'alias'}\n")
    _write(root / "pyproject.toml", f'[tool.hef-lsp]\nrun = "touch {marks / "pyproject"}"\n')
    _write(root / ".vscode" / "tasks.json", json.dumps({"tasks": [{"command": f"touch {marks / 'task'}"}]}))
    checkpoint = root / "weights"
    _write(checkpoint / "modeling_evil.py", f"open({str(marks / 'remote-code')!r}, 'w').close()\n")
    architecture = {
        "architectures": ["Evil"],
        "model_type": "evil",
        "auto_map": {"AutoConfig": "modeling_evil.C"},
    }
    architecture["auto_map"] |= {
        "AutoModelForCausalLM": "modeling_evil.M",
        "AutoTokenizer": "modeling_evil.T",
    }
    _write(checkpoint / "config.json", json.dumps(architecture))
    for name in (
        "pytorch_model.bin",
        "model.pkl",
        "weights.pt",
        "memory.npz",
        "model.safetensors",
        "tokenizer.json",
    ):
        (checkpoint / name).write_bytes(pickle.dumps(Bomb(f"touch {marks / name}")))
    _write(root / "shop.py", "def total(items):\n    return sum(items)\n")
    return root


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def ran(root: Path) -> list[str]:
    return sorted(path.name for path in (root.parent / "ran").iterdir())


def visit(wire: WatchedWire, root: Path, options: dict[str, object]) -> None:
    wire.initialize([root], options)
    wire.settle()
    uri = wire.open((root / "torch.py").as_uri(), "import torch\n\n\ndef go(x):\n    return ")
    wire.inline(uri, 4, 11)
    wire.command("hef.explain", uri)
    assert wire.leave() == 0


def test_nothing_of_the_workspace_runs(hostile: Path, tmp_path: Path) -> None:
    wire = stub(tmp_path, hostile)
    try:
        visit(wire, hostile, {})
    finally:
        wire.kill()
    assert ran(hostile) == [] and wire.tried == []


@pytest.mark.skipif(not FULL, reason="a long form")
@pytest.mark.real_model
def test_a_model_in_the_workspace_brings_no_code(hostile: Path, tmp_path: Path) -> None:
    """Even where the user names it: no remote code, no pickle."""
    wire = real(tmp_path, hostile)
    try:
        visit(
            wire,
            hostile,
            {"model": {"name": str(hostile / "weights"), "checkpoint": str(hostile / "weights")}},
        )
    finally:
        wire.kill()
    assert ran(hostile) == [] and wire.tried == []


@pytest.mark.parametrize("flags", [["-m"], ["-P", "-m"]])
def test_the_module_leaves_the_workspace_off_its_path(hostile: Path, flags: list[str]) -> None:
    """`-I` is what is documented; this is for whoever forgets it."""
    for name in ("sitecustomize", "asyncio", "logging"):  # what Python itself imports before any of our lines
        (hostile / f"{name}.py").unlink()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *flags, "hef_lsp", "--version"],
        cwd=hostile,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert ran(hostile) == []


def test_the_watch_itself_sees_what_runs(hostile: Path) -> None:
    """Without any protection the planted files do run, so their silence above means something."""
    subprocess.run([sys.executable, "-c", "import torch"], cwd=hostile, capture_output=True)
    assert "torch" in ran(hostile)

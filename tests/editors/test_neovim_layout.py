"""The Lua of the plugin is laid out by stylua."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from editor_paths import HOME, ROOT, missing, wanted

PLUGIN = ROOT / "editors/neovim"


@pytest.mark.editors_short
def test_lua_is_laid_out_by_stylua() -> None:
    wanted()
    node = shutil.which("node")
    if node is None or not (HOME / "stylua/.complete").exists():
        missing("no Node on PATH, or no stylua: python tests/editors/install.py stylua")
    command = [node, "stylua.mjs", str(HOME / "stylua")]
    run = subprocess.run(command, cwd=PLUGIN, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

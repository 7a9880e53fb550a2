"""Where the editors that the tests drive are, whether they are driven, and what a missing one means."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".editors"
STUB = ROOT / "tests/e2e/stub_server.py"
WANTED = "HEF_TEST_EDITORS"
"""Unset: none is driven. `short`: what CI runs. Anything else: all that can be had here."""
SHORT = "short"
PLUGINS = "HEF_TEST_PLUGINS"
"""A folder with clones of plugins that no registry has, each by its own name; else their tests skip."""


def wanted() -> None:
    """Skips the test where nobody asked for real editors."""
    if not os.environ.get(WANTED):
        pytest.skip("tests that drive editors run with `make test-editors`")


def missing(what: str) -> NoReturn:
    """Whoever asked for real editors gets a failure where one is not there, and not a silent gap."""
    wanted()
    pytest.fail(f"{what} (its download may have failed: see what was printed then)", pytrace=False)


def program(editor: str, name: str) -> str:
    """The path of `name`: of the installed `editor`, else the one on PATH where any version will do."""
    wanted()
    installed = HOME / editor / "bin" / name
    if (HOME / editor / ".complete").exists() and installed.exists():
        return str(installed)
    found = None if editor.startswith("neovim") else shutil.which(name)
    if found is None:
        missing(f"no {editor}: python tests/editors/install.py {editor}")
    return found


def stub_command(cache: Path, *arguments: str) -> list[str]:
    """The real server with fake models."""
    return [sys.executable, "-I", str(STUB), "--cache-dir", str(cache), *arguments]


def real_command(cache: Path) -> list[str]:
    """The real server with the real model."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from hef_lsp.cli import main; main()"
    return [sys.executable, "-I", "-c", start, "serve", "--cache-dir", str(cache)]

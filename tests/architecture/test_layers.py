"""Layers point one way, and importing the server loads no model library."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "safetensors", "hnswlib")


def run_isolated(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return result.stdout.strip()


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("module", ["hef_lsp.server", "hef_lsp.cli", "hef_lsp.workspace", "model.protocols"])
def test_import_loads_no_model_library(module: str) -> None:
    code = f"import {module}, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_isolated(code) == "[]"


def test_importing_any_module_does_nothing_visible() -> None:
    code = (
        "import importlib, logging, pkgutil, hef_lsp, indexer, model\n"
        "for package in (hef_lsp, indexer, model):\n"
        "    for info in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not info.name.endswith('__main__'): importlib.import_module(info.name)\n"
        "assert not logging.getLogger().handlers\n"
    )
    assert run_isolated(code) == ""

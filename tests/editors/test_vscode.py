"""The VS Code extension in the real VS Code: each scenario of `editors/vscode/test/scenarios` is one test.

They are JavaScript, as they drive a browser through Playwright; here they are run and counted.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SCRIPT
from editor_paths import ROOT, missing, stub_command, wanted

EXTENSION = ROOT / "editors/vscode"
SCENARIOS = sorted(path.name for path in (EXTENSION / "test/scenarios").glob("*.mjs"))
LIMIT_S = 1200
"""No measure of speed: only so that nothing waits for ever."""
STUB = """#!/bin/sh
# The real program, whose models are fakes once it serves.
if [ "$1" = serve ]; then shift; exec {serve} "$@"; fi
exec {program} "$@"
"""


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(n, marks=[pytest.mark.editors_short] if n.startswith("0") else []) for n in SCENARIOS],
)
def test_scenario(scenario: str, home: Path) -> None:
    wanted()
    node = shutil.which("node")
    if node is None:
        missing("no Node on PATH; install Node 20 or later")
    for needed, how in (("hef-lsp.vsix", "make vsix"), (".vscode-test/fetched", "make fetch-vscode")):
        if not (EXTENSION / needed).exists():
            missing(f"no {EXTENSION / needed}: {how}")
    environment = {
        **os.environ,
        "HEF_TEST_SERVER": sys.executable,
        "HEF_TEST_STUB": str(stub_program(home)),
        "HEF_TEST_SCRIPT": SCRIPT,
    }
    command = [node, "test/run.mjs", scenario]
    run = subprocess.run(
        command, cwd=EXTENSION, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    if "  skipped" in run.stdout:
        pytest.skip("fetches gigabytes: only with HEF_TEST_INSTALL=1")


def stub_program(home: Path) -> Path:
    """A program as `hef-lsp` is one, with the fake models."""
    program = home / "hef-lsp"
    serve = shlex.join(stub_command(home / "cache", "--script", SCRIPT))
    program.write_text(STUB.format(serve=serve, program=shlex.join([sys.executable, "-I", "-m", "hef_lsp"])))
    program.chmod(0o755)
    return program

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
FROM_NOTHING = "6-from-nothing.mjs"
"""Run by test_newcomer.py, where nothing is there but what the documented commands bring."""
SCENARIOS = sorted(path.name for path in (EXTENSION / "test/scenarios").glob("*.mjs"))
LIMIT_S = 2400
"""No measure of speed: only so that nothing waits for ever."""
STUB = """#!/bin/sh
# The real program, whose models are fakes once it serves.
if [ "$1" = serve ]; then shift; exec {serve} "$@"; fi
exec {program} "$@"
"""


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(name, marks=[pytest.mark.editors_short] if name.startswith("0") else [])
        for name in SCENARIOS
        if name != FROM_NOTHING
    ],
)
def test_scenario(scenario: str, home: Path) -> None:
    wanted()
    run_scenario(
        scenario,
        {
            **os.environ,
            "HEF_TEST_SERVER": sys.executable,
            "HEF_TEST_STUB": str(stub_program(home)),
            "HEF_TEST_SCRIPT": SCRIPT,
            "HEF_TEST_CALLS": str(home / "calls"),
        },
    )


def run_scenario(scenario: str, environment: dict[str, str]) -> None:
    """One file of `test/scenarios` by Node; what it printed is the reason where it fails."""
    node = shutil.which("node")
    if node is None:
        missing("no Node on PATH; install Node 20 or later")
    for needed, how in (("hef-lsp.vsix", "make vsix"), (".vscode-test/fetched", "make fetch-vscode")):
        if not (EXTENSION / needed).exists():
            missing(f"no {EXTENSION / needed}: {how}")
    command = [node, "test/run.mjs", scenario]
    run = subprocess.run(
        command, cwd=EXTENSION, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "  skipped" not in run.stdout, run.stdout


def stub_program(home: Path) -> Path:
    """A program as `hef-lsp` is one, with the fake models."""
    program = home / "hef-lsp"
    serve = shlex.join(stub_command(home / "cache", "--script", SCRIPT, "--calls", str(home / "calls")))
    program.write_text(STUB.format(serve=serve, program=shlex.join([sys.executable, "-I", "-m", "hef_lsp"])))
    program.chmod(0o755)
    return program

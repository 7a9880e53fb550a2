"""The built wheel, installed away from the checkout, holds all it needs and serves."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in files.decode().split("\0"):
        if name and (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, source], check=True, timeout=300)
    return next(folder.glob("hef_lsp-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Iterator[Path]:
    target = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    yield target


def run_installed(
    target: Path, arguments: list[str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    code = (
        f"import sys; sys.path[:] = [p for p in sys.path if not p.startswith({str(ROOT)!r} + '/hef')]\n"
        f"sys.path.insert(0, {str(target)!r})\n"
        f"sys.argv = ['hef-lsp', *{arguments!r}]\n"
        "import hef_lsp; assert hef_lsp.__file__.startswith(sys.path[0]), hef_lsp.__file__\n"
        "from hef_lsp.cli import main; main()\n"
    )
    return subprocess.run([sys.executable, "-I", "-c", code], input=stdin, capture_output=True, timeout=120)


def test_wheel_holds_the_packages_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if not name.startswith("hef_lsp-")} == {
        "hef_lsp",
        "indexer",
        "model",
    }
    assert "hef_lsp/py.typed" in names
    assert {"model/runtime/kernel/passes.c", "model/runtime/kernel/crew.h"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installed_wheel_says_its_version(installed: Path) -> None:
    result = run_installed(installed, ["--version"])
    assert result.stdout.decode().startswith("hef-lsp 0."), result.stderr.decode()


def test_installed_wheel_serves(installed: Path) -> None:
    messages = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {"processId": None, "rootUri": None, "capabilities": {}},
        },
        {"jsonrpc": "2.0", "id": 2, "method": "shutdown"},
        {"jsonrpc": "2.0", "method": "exit"},
    ]
    bodies = [json.dumps(message).encode() for message in messages]
    stdin = b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies)
    result = run_installed(installed, ["serve"], stdin)
    assert result.returncode == 0, result.stderr.decode()
    assert b'"completionProvider"' in result.stdout
    assert b'"inlineCompletionProvider"' in result.stdout

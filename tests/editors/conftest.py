"""Editors for the tests, each ended with its test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from editor_paths import SHORT, WANTED, program, stub_command
from neovim import Neovim, write_init
from screen import Screen

StartNeovim = Callable[..., Neovim]
SCRIPT = "urn left + right"
"""What the fake model says wherever it is asked; the tests type `ret` before it."""
SOURCE = "def add(left, right):\n    total = 0\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the short form only what is marked `editors_short` is run."""
    if os.environ.get(WANTED) != SHORT:
        return
    for item in items:
        if item.path.parent == Path(__file__).parent and not item.get_closest_marker("editors_short"):
            item.add_marker(pytest.mark.skip("the long form: make test-editors"))


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short path: the path of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="hef-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    """Terminals that a test opened are closed with it."""
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


@pytest.fixture
def workspace(home: Path) -> Path:
    root = home / "work"
    (root / ".git").mkdir(parents=True)
    (root / "adding.py").write_text(SOURCE)
    (root / "other.py").write_text("def subtract(left, right):\n    return left - right\n")
    return root


@pytest.fixture(params=["0.11", "0.12"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def nvim(version: str) -> str:
    return program(f"neovim-{version}", "nvim")


@pytest.fixture
def start(nvim: str, home: Path, workspace: Path) -> Iterator[StartNeovim]:
    """`start(options, script=..., command=..., settings=...)` gives a Neovim in adding.py, ready to type."""
    started: list[Neovim] = []

    def begin(
        options: dict[str, Any] | None = None,
        script: str = SCRIPT,
        command: list[str] | None = None,
        settings: dict[str, Any] | None = None,
        more: str = "",
    ) -> Neovim:
        init = home / "init.lua"
        write_init(init, command or stub_command(home / "cache", "--script", script), options, settings, more)
        neovim = Neovim(nvim, init, workspace / "adding.py", home)
        started.append(neovim)
        neovim.wait_ready()
        return neovim

    yield begin
    for neovim in started:
        neovim.close()

"""Servers for the end-to-end tests, each killed at the end of its test if it still runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wire import Wire, stub_command

Start = Callable[..., Wire]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(*stub_arguments)` gives a server that was sent nothing yet."""
    started: list[Wire] = []

    def begin(*arguments: str, cwd: Path | None = None) -> Wire:
        command = stub_command(tmp_path / "cache", *arguments)
        wire = Wire(command, cwd or tmp_path, tmp_path / f"stderr{len(started)}.txt")
        started.append(wire)
        return wire

    yield begin
    for wire in started:
        wire.kill()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "adding.py").write_text("def add(left, right):\n    return left + right\n", encoding="utf-8")
    return folder

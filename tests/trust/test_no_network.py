"""The whole server with sockets forbidden: nothing is tried, not even in vain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tally import Row, count
from watching import WatchedWire, real, stub

SOURCE = "def area(width, height):\n    return width * height\n\n\nprint(area(2, "


def a_day(wire: WatchedWire, root: Path) -> None:
    """Opens, indexes, types, completes both ways, saves, explains and leaves."""
    wire.initialize([root], {"model": {"name": "smollm2-135m"}})
    wire.settle(lambda status: status["index"]["files"] > 0)
    uri = wire.open((root / "fresh.py").as_uri(), SOURCE)
    wire.inline(uri, 4, 14)
    wire.change(uri, (4, 14), (4, 14), "3")
    wire.list(uri, 4, 15)
    (root / "fresh.py").write_text(SOURCE, encoding="utf-8")
    wire.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
    wire.settle()
    for name in ("hef.explain", "hef.hierarchy", "hef.reindex"):
        wire.command(name)
    wire.settle(lambda status: status["index"]["files"] > 0)
    assert open_to_the_network(wire.process.pid) == []
    assert wire.leave() == 0


def open_to_the_network(process_id: int) -> list[object]:
    """Sockets that native code might have opened unseen by Python's audit."""
    return list(psutil.Process(process_id).net_connections(kind="inet"))


@pytest.mark.parametrize(
    "start", [stub, pytest.param(real, marks=pytest.mark.real_model)], ids=["stub", "real"]
)
def test_nothing_is_sent_after_start_up(start: Callable[..., WatchedWire], tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "shapes.py").write_text(SOURCE + "4))\n", encoding="utf-8")
    wire = start(tmp_path, root)
    try:
        a_day(wire, root)
    finally:
        wire.kill()
    count(Row.BYTES_TO_NETWORK, len("".join(wire.tried)))
    assert wire.tried == []


PROGRAM = """
import pathlib, socket, sys
sys.path.insert(0, sys.argv[1])
import watched_server
watched_server.forbid_network(pathlib.Path(sys.argv[2]))
socket.socketpair()
for reach in (lambda: socket.getaddrinfo("example.org", 80), lambda: socket.socket(socket.AF_INET)):
    try:
        reach()
    except PermissionError:
        continue
    raise SystemExit("let through")
"""


def test_the_watch_itself_sees_a_try(tmp_path: Path) -> None:
    """A test that cannot fail shows nothing: the same hook, and a program that does reach out."""
    notes, watch = tmp_path / "notes", Path(__file__).parent
    subprocess.run([sys.executable, "-I", "-c", PROGRAM, str(watch), str(notes)], check=True)
    assert len(notes.read_text(encoding="utf-8").splitlines()) == 2

"""Planted secrets, of files and open buffers, are looked for wherever a server leaves or sends text."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from planted import Planted, secrets
from tally import FULL, Row, count
from watching import WatchedWire, stub

ROOT = Path(__file__).resolve().parents[2]
PER_KIND = 10 if FULL else 2
CONTEXTS = ("text", "dense") if FULL else ("text",)


@dataclass
class Scene:
    """A server beside a workspace. `on_disk`, `in_buffers` and `by_name` are where secrets stand."""

    wire: WatchedWire
    folder: Path
    on_disk: list[Planted]
    in_buffers: list[Planted]
    by_name: list[Planted]

    @property
    def all(self) -> list[Planted]:
        return [*self.on_disk, *self.in_buffers, *self.by_name]


def function_with(item: Planted, number: int) -> str:
    head = f"def connect_{number}(total):\n    value = total + {number}\n"
    return f"{head}{indented(item.text)}\n    return value\n"


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


@pytest.fixture(params=CONTEXTS)
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    root = tmp_path / "workspace"
    root.mkdir()
    planted = secrets(PER_KIND, seed=77)
    on_disk, in_buffers, by_name = planted[::2], planted[1::2], secrets(1, seed=78)
    for number, item in enumerate(on_disk):
        (root / f"service_{number}.py").write_text(function_with(item, number), encoding="utf-8")
    hidden = "\n".join(f"VALUE_{number}={item.core}" for number, item in enumerate(by_name))
    (root / ".hefignore").write_text("private/\n", encoding="utf-8")
    for name in (".env", "server.pem", "credentials.json", "private/notes.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(f"connect(total)\n{hidden}\n", encoding="utf-8")
    say = [item.text.replace("\\n", " ") for item in planted]
    wire = stub(tmp_path, root, say)
    wire.initialize([root], {"context": {"mode": request.param}, "completion": {"debounceMs": 0}})
    yield Scene(wire, tmp_path, on_disk, in_buffers, by_name)
    wire.kill()


def use(scene: Scene) -> list[str]:
    """Opens, asks everywhere, explains and leaves; gives all texts that were told to the models."""
    wire, root = scene.wire, scene.folder / "workspace"
    for number, item in enumerate(scene.in_buffers):
        uri = wire.open((root / f"buffer_{number}.py").as_uri(), function_with(item, number) + "\nvalue = \n")
    wire.settle(lambda status: status["index"]["files"] >= len(scene.on_disk))
    for number, item in enumerate(scene.in_buffers):
        uri = (root / f"buffer_{number}.py").as_uri()
        last = function_with(item, number).count("\n") + 1
        wire.inline(uri, last, len("value = "))
        wire.inline(uri, last - 3, 6)
        wire.change(uri, (last, 8), (last, 8), "connect")
        wire.list(uri, last, 15)
        wire.command("hef.explain", uri)
    wire.command("watched.say", [item.core for item in scene.in_buffers])
    for number, item in enumerate(scene.in_buffers):
        uri = (root / f"buffer_{number}.py").as_uri()
        wire.inline(uri, function_with(item, number).count("\n"), 0)
    environment = wire.open((root / ".env").as_uri(), (root / ".env").read_text(encoding="utf-8"), "dotenv")
    assert wire.inline(environment, 0, 7) == []
    opened = [f"directory:{name}" for name in ("", "private")]
    wire.command("hef.hierarchy", opened)
    wire.settle()
    n_prompts = len(wire.command("watched.prompts"))
    assert n_prompts >= len(scene.in_buffers), "the generator was hardly asked, so nothing was shown"
    heard: list[str] = [*wire.command("watched.heard"), *wire.command("watched.prompts")]
    assert wire.leave() == 0
    return heard


def test_no_planted_secret_is_seen_again(scene: Scene) -> None:
    heard = "\n".join(use(scene))
    places = {
        "models": heard,
        "replies": "\n".join(scene.wire.said),
        "log": scene.wire.stderr,
        "index": "\n".join(everything_in(scene.folder / "cache")),
    }
    assert "connect_0" in places["index"] and "connect_0" in heard, "the workspace was not read at all"
    leaked = [
        (item.kind, where)
        for item in scene.all
        for where, text in places.items()
        if item.core in text or json.dumps(item.core)[1:-1] in text
    ]
    count(Row.SECRETS_PLANTED, len(scene.all))
    count(Row.SECRETS_LEAKED, len({kind for kind, _ in leaked}))
    assert not leaked


@pytest.mark.skipif(not FULL, reason="a long form")
@pytest.mark.real_model
def test_the_command_line_and_the_real_model_leak_none(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    planted = secrets(1, seed=79)
    for number, item in enumerate(planted):
        (root / f"service_{number}.py").write_text(function_with(item, number), encoding="utf-8")
    said = ""
    for number in range(3):
        place = [str(root / f"service_{number}.py"), "--line", "1", "--character", "12", "--json"]
        for command in ("complete", "explain"):
            said += cli(command, *place, "--workspace", str(root), "--cache-dir", str(tmp_path / "cache"))
    assert '"hits": [' in said
    kept = "\n".join(everything_in(tmp_path / "cache"))
    leaked = [item.kind for item in planted if item.core in said or item.core in kept]
    count(Row.SECRETS_PLANTED, len(planted))
    count(Row.SECRETS_LEAKED, len(leaked))
    assert leaked == []


def cli(*arguments: str) -> str:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from hef_lsp.cli import app; app()"
    command = [sys.executable, "-I", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def everything_in(folder: Path) -> Iterator[str]:
    """Every file as raw bytes, and databases row by row as well."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite3" for path in files)
    for path in files:
        yield path.read_bytes().decode("latin-1")
        if path.suffix == ".sqlite3":
            with sqlite3.connect(path) as connection:
                yield from connection.iterdump()

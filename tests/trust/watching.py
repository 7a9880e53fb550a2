"""What the tests of leaks share: a watched server at the wire, every message of which is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "e2e"))

from wire import Wire

SERVER = Path(__file__).with_name("watched_server.py")


class WatchedWire(Wire):
    """Keeps all that the server said."""

    def __init__(self, command: Sequence[str], cwd: Path, folder: Path) -> None:
        self.said: list[str] = []
        self.notes = folder / "network.txt"
        super().__init__(command, cwd, folder / "stderr.txt")

    def _take(self, message: dict[str, Any]) -> None:
        self.said.append(json.dumps(message, ensure_ascii=False))
        super()._take(message)

    @property
    def tried(self) -> list[str]:
        """The tries to reach the network, and the processes that were started."""
        return self.notes.read_text(encoding="utf-8").splitlines() if self.notes.exists() else []


def stub(folder: Path, cwd: Path, say: Sequence[str] = ("return total",)) -> WatchedWire:
    texts = folder / "say.json"
    texts.write_text(json.dumps(list(say)), encoding="utf-8")
    notes = str(folder / "network.txt")
    command = [sys.executable, "-I", str(SERVER), notes, "stub", str(texts), str(folder / "cache")]
    return WatchedWire(command, cwd, folder)


def real(folder: Path, cwd: Path) -> WatchedWire:
    command = [sys.executable, "-I", str(SERVER), str(folder / "network.txt"), "real"]
    command += ["serve", "--cache-dir", str(folder / "cache"), "--log-level", "debug"]
    return WatchedWire(command, cwd, folder)

"""A program on a real screen: a tmux server of its own, keys sent to it, the screen read back."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from pathlib import Path

from editor_paths import missing

WAIT_S = 600.0
"""No measure of speed: a busy machine may take minutes to load the models."""
_NUMBERS = itertools.count()
"""Each server has a socket of its own: at that of one that is ending the next would end with it."""


class Screen:
    """One tmux session of `size` columns and rows, begun in `folder`; `close` ends its server."""

    def __init__(
        self,
        home: Path,
        command: str,
        env: dict[str, str] | None = None,
        size: tuple[int, int] = (100, 30),
        folder: Path | None = None,
    ) -> None:
        tmux = shutil.which("tmux")
        if tmux is None:
            missing("no tmux on PATH; install it")
        self._tmux = [tmux, "-S", str(home / f"tmux{next(_NUMBERS)}.sock"), "-f", os.devnull]
        self._env = {**(env or os.environ), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        place = ("-c", str(folder or Path.cwd()))
        self.run("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), *place, "-s", "s", command)
        self.run("set-option", "-s", "escape-time", "0")

    def type(self, text: str, pause_s: float = 0.03) -> None:
        """Key by key, as a hand would."""
        for letter in text:
            self.run("send-keys", "-t", "s", "-l", letter)
            time.sleep(pause_s)

    def press(self, *keys: str) -> None:
        self.run("send-keys", "-t", "s", *keys)

    def text(self) -> str:
        return self.run("capture-pane", "-t", "s", "-p")

    def wait(self, wanted: str, asking: tuple[str, ...] = (), every_s: float = 1.0) -> str:
        """The screen once it shows `wanted`; the keys `asking` are pressed every so often meanwhile."""
        ends = time.monotonic() + WAIT_S
        asked = time.monotonic()
        while wanted not in (shown := self.text()):
            if asking and time.monotonic() - asked > every_s:
                self.press(*asking)
                asked = time.monotonic()
            assert time.monotonic() < ends, f"waited {WAIT_S} s for {wanted!r}; the screen was\n{shown}"
            time.sleep(0.1)
        return shown

    def wait_gone(self, unwanted: str) -> None:
        ends = time.monotonic() + WAIT_S
        while unwanted in (shown := self.text()):
            assert time.monotonic() < ends, f"{unwanted!r} stays; the screen was\n{shown}"
            time.sleep(0.1)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], env=self._env, check=False, capture_output=True)

    def run(self, *arguments: str) -> str:
        """What a command of tmux prints."""
        run = subprocess.run(
            [*self._tmux, *arguments], env=self._env, check=False, capture_output=True, text=True
        )
        assert run.returncode == 0, f"tmux {' '.join(arguments)}: {run.stderr}"
        return run.stdout

"""One Neovim as a child process, driven as a user would: keys go in, text and screen state come out."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from editor_paths import ROOT

PLUGIN = ROOT / "editors/neovim"
WAIT_S = 180.0
INIT = """
vim.opt.runtimepath:append({plugin})
vim.opt.swapfile = false
vim.opt.autoindent = false
vim.g.python_recommended_style = 0
vim.cmd.filetype('indent', 'off')
vim.opt.shadafile = 'NONE'
vim.lsp.config('hef_lsp', {{ cmd = vim.json.decode({command}), settings = vim.json.decode({settings}) }})
vim.g.hef_lsp = vim.json.decode({options})
{more}
vim.lsp.enable('hef_lsp')
"""
GHOST = """(function()
  local text = {}
  for _, name in ipairs({'hef_lsp', 'nvim.lsp.inline_completion'}) do
    local space = vim.api.nvim_get_namespaces()[name]
    for _, mark in ipairs(space and vim.api.nvim_buf_get_extmarks(0, space, 0, -1, {details=true}) or {}) do
      local lines = { mark[4].virt_text or {} }
      vim.list_extend(lines, mark[4].virt_lines or {})
      local said = {}
      for _, line in ipairs(lines) do
        local joined = ''
        for _, chunk in ipairs(line) do joined = joined .. chunk[1] end
        table.insert(said, joined)
      end
      table.insert(text, table.concat(said, '\\n'))
    end
  end
  return table.concat(text, '|')
end)()"""


def lua_string(value: object) -> str:
    """A Lua literal of `value`, or of its JSON where it is no string."""
    text = value if isinstance(value, str) else json.dumps(value)
    return "[==[" + text + "]==]"


def isolated(home: Path) -> dict[str, str]:
    """An environment without the user's own configuration."""
    names = {"XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state"}
    kept = {name: value for name, value in os.environ.items() if name != "NVIM"}
    return {**kept, **{name: str(home / folder) for name, folder in names.items()}}


def write_init(
    path: Path,
    command: list[str],
    options: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    more: str = "",
) -> None:
    """An init.lua with the plugin, this server and these options."""
    text = INIT.format(
        plugin=lua_string(str(PLUGIN)),
        command=lua_string(command),
        settings=lua_string({"hef": settings or {}}),
        options=lua_string(options or {"ghost_text": True}),
        more=more,
    )
    path.write_text(text)


class Neovim:
    """A headless Neovim that listens; `close` ends it."""

    def __init__(self, program: str, init: Path, file: Path, home: Path) -> None:
        self._program, self._socket = program, str(home / "nvim.sock")
        self._env = isolated(home)
        arguments = ["--headless", "--clean", "-u", str(init), "--listen", self._socket, str(file)]
        self.process = subprocess.Popen(
            [program, *arguments],
            env=self._env,
            cwd=file.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(home / "stderr.txt").open("wb"),
        )
        self.wait(lambda: Path(self._socket).exists(), "the socket")

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def keys(self, text: str) -> None:
        """Types `text`, in Vim's notation of keys."""
        self._remote("--remote-send", text)

    def lua(self, expression: str) -> Any:
        """What a Lua expression gives, by way of JSON."""
        encoded = f"vim.json.encode({{ value = {expression} }})"
        quoted = "luaeval(" + vim_string(encoded) + ")"
        answer = json.loads(self._remote("--remote-expr", quoted))
        return answer["value"] if answer else None  # a table without entries is encoded as a list

    def run(self, statements: str) -> None:
        self.lua(f"(function() {statements} end)()")

    def text(self) -> str:
        return "\n".join(self.lua("vim.api.nvim_buf_get_lines(0, 0, -1, false)"))

    def ghost(self) -> str:
        """The ghost text on the screen, empty where there is none."""
        return str(self.lua(GHOST))

    def wait_ghost(self, wanted: str) -> None:
        self.wait(lambda: wanted in self.ghost(), f"ghost text {wanted!r}", lambda: repr(self.ghost()))

    def wait_ready(self) -> None:
        self.wait(lambda: self.lua("require('hef_lsp').statusline()") == "hef: ready", "a ready server")

    def wait(self, condition: Callable[[], bool], what: str, seen: Callable[[], str] = lambda: "") -> None:
        ends = time.monotonic() + WAIT_S
        while not condition():
            assert self.process.poll() is None, "Neovim ended"
            assert time.monotonic() < ends, f"waited {WAIT_S} s for {what}; there was {seen()}"
            time.sleep(0.05)

    def _remote(self, *arguments: str) -> str:
        command = [self._program, "--clean", "--server", self._socket, *arguments]
        run = subprocess.run(
            command, env=self._env, capture_output=True, text=True, timeout=WAIT_S, check=False
        )
        assert run.returncode == 0, run.stderr
        return run.stdout


def vim_string(text: str) -> str:
    return "'" + text.replace("'", "''").replace("\n", " ") + "'"

"""Records `docs/images/neovim.gif`: Neovim 0.12 on a screen, with the real server and the real model.

Run: python tests/editors/record_neovim.py, after `make model` and
`python tests/editors/install.py neovim-0.12 recorder`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

from editor_paths import HOME, ROOT, real_command
from ledger import LEDGER, REPORT
from neovim import isolated, write_init
from screen import Screen

GIF = ROOT / "docs/images/neovim.gif"
LOOK = """
vim.o.statusline = " %t %=%{v:lua.require'hef_lsp'.statusline()} "
vim.o.number = true
vim.o.laststatus = 2
vim.o.background = 'dark'
vim.o.termguicolors = false
vim.api.nvim_set_hl(0, 'ComplHint', { ctermfg = 244 })
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hef-") as folder:
        home = Path(folder)
        screen = open_editor(home)
        try:
            record(screen, home)
        finally:
            screen.close()
    print(f"{GIF.relative_to(ROOT)}: {GIF.stat().st_size // 1024} KB")


def open_editor(home: Path) -> Screen:
    """Ready to type in report.py, its server warm."""
    work = home / "work"
    (work / ".git").mkdir(parents=True)
    (work / "ledger.py").write_text(LEDGER)
    (work / "report.py").write_text(REPORT)
    settings = {"model": {"name": "smollm2-135m", "offline": True}, "completion": {"deadlineMs": 20000}}
    write_init(home / "init.lua", real_command(home / "cache"), settings=settings, more=LOOK)
    nvim = str(HOME / "neovim-0.12/bin/nvim")
    command = "env TERM=screen-256color " + shlex.join(
        [nvim, "--clean", "-u", str(home / "init.lua"), str(work / "report.py")]
    )
    screen = Screen(home, command, isolated(home), size=(72, 16))
    screen.run("set-option", "-g", "status", "off")
    screen.wait("hef: ready")
    screen.press("G", "o")
    return screen


def record(screen: Screen, home: Path) -> None:
    cast, tools = home / "neovim.cast", HOME / "recorder/bin"
    attach = f"tmux -S {home / 'tmux.sock'} attach"
    rec = [str(tools / "asciinema"), "rec", "-q", "--cols", "72", "--rows", "16", "-c", attach, str(cast)]
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    recording = subprocess.Popen(rec, env=env, stdin=subprocess.DEVNULL)
    time.sleep(1.5)
    act(screen)
    screen.run("detach-client")
    recording.wait(20)
    cut_end(cast)
    GIF.parent.mkdir(parents=True, exist_ok=True)
    agg = [str(tools / "agg"), "--font-size", "16", "--idle-time-limit", "1.5", "--last-frame-duration", "2"]
    subprocess.run([*agg, str(cast), str(GIF)], check=True)


def cut_end(cast: Path) -> None:
    """Leaves out what tmux writes when it detaches."""
    lines = cast.read_text().splitlines()
    end = next((n for n, line in enumerate(lines) if "?1049l" in line or "[detached" in line), len(lines))
    cast.write_text("\n".join(lines[:end]) + "\n")


def act(screen: Screen) -> None:
    screen.type("        ledger.post_", pause_s=0.09)
    screen.wait("ledger.post_entry(")
    time.sleep(1.5)
    screen.press("M-w")
    time.sleep(1.2)
    screen.press("Tab")
    time.sleep(1.2)
    screen.press("Escape")
    screen.type(":Hef explain\r", pause_s=0.07)
    screen.wait("mode ")
    time.sleep(2.5)


if __name__ == "__main__":
    main()

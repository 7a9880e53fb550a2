"""Neovim 0.11 and 0.12 on a screen, with the real server and the real model, from an empty configuration."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from editor_paths import real_command
from ledger import LEDGER, REPORT
from neovim import isolated, write_init
from screen import Screen

pytestmark = pytest.mark.real_model
LOOK = """
vim.o.statusline = "%f %=%{v:lua.require'hef_lsp'.statusline()}"
vim.o.completeopt = 'menuone,noselect'
"""


def test_type_see_accept_and_the_list(
    nvim: str, home: Path, workspace: Path, embedded_model_path: Path
) -> None:
    (workspace / "ledger.py").write_text(LEDGER)
    report = workspace / "report.py"
    report.write_text(REPORT)
    init = home / "init.lua"
    settings = {"model": {"name": "smollm2-135m", "offline": True}, "completion": {"deadlineMs": 20000}}
    write_init(
        init,
        real_command(home / "cache"),
        settings=settings,
        more=LOOK,
    )
    screen = Screen(home, shlex.join([nvim, "--clean", "-u", str(init), str(report)]), isolated(home))
    try:
        screen.wait("hef: ready")
        screen.press("G")
        screen.type("o        ledger.post_")
        before = screen.wait("ledger.post_entry(")
        assert "post_entry" not in report.read_text()
        screen.press("Tab")
        screen.press("Escape")
        screen.type(":w\r")
        screen.wait("written")
        written = report.read_text()
        assert written.startswith(REPORT + "        ledger.post_entry("), (written, before)
        screen.type("oledger.post_")
        screen.press("C-x", "C-o")
        screen.wait("Text")
    finally:
        screen.close()

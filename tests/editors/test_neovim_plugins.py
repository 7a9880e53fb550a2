"""Plugin managers and completion plugins of Neovim, by the recipes of the plugin's help file.

vim.pack is part of Neovim 0.12. The others are taken from the folder that HEF_TEST_PLUGINS names, which has a
clone of each by its own name (lazy.nvim, blink.cmp, nvim-cmp, cmp-nvim-lsp); without it they are skipped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import SCRIPT
from documented import help_block
from editor_paths import PLUGINS, ROOT, stub_command
from neovim import PLUGIN, Neovim, lua_string

Begin = Callable[[str], Neovim]
INIT = """
vim.env.HOME = {home}
vim.opt.swapfile = false
vim.opt.autoindent = false
vim.g.python_recommended_style = 0
vim.cmd.filetype('indent', 'off')
vim.opt.shadafile = 'NONE'
vim.lsp.config('hef_lsp', {{ cmd = vim.json.decode({command}) }})
{rest}
"""
OURS = f"vim.opt.runtimepath:append({lua_string(str(PLUGIN))})\nvim.lsp.enable('hef_lsp')\n"
BLINK = (
    "require('blink.cmp').setup({ fuzzy = { implementation = 'lua' }, sources = { default = { 'lsp' } } })\n"
)
CMP = """
local cmp = require('cmp')
cmp.setup({ sources = { { name = 'nvim_lsp' } }, mapping = cmp.mapping.preset.insert({}) })
"""


def plugin(name: str) -> str:
    """Lua that puts this plugin on the runtime path."""
    folder = os.environ.get(PLUGINS)
    if folder is None:
        pytest.skip(f"{name} is not part of Neovim: name a folder that has it in {PLUGINS}")
    path = Path(folder) / name
    assert path.is_dir(), f"{PLUGINS} has no {name}"
    after = f"vim.opt.runtimepath:append({lua_string(str(path / 'after'))})\n"
    return f"vim.opt.runtimepath:prepend({lua_string(str(path))})\n{after}"


@pytest.fixture
def begin(nvim: str, home: Path, workspace: Path) -> Iterator[Begin]:
    """`begin(lua)` gives a Neovim in adding.py with `lua` in init.lua; ~/src/hef-lsp is what is committed."""
    source = home / "src/hef-lsp"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    # Whoever clones it from there wants a branch, which a clone of one commit does not have.
    subprocess.run(["git", "-C", str(source), "checkout", "--quiet", "-B", "main"], check=True)
    started: list[Neovim] = []

    def start(rest: str) -> Neovim:
        command = lua_string(stub_command(home / "cache", "--script", SCRIPT))
        init = home / "init.lua"
        init.write_text(INIT.format(home=lua_string(str(home)), command=command, rest=rest))
        neovim = Neovim(nvim, init, workspace / "adding.py", home)
        started.append(neovim)
        neovim.wait(lambda: neovim.lua("(pcall(require, 'hef_lsp'))"), "the plugin")  # it may still be cloned
        neovim.wait_ready()
        return neovim

    yield start
    for neovim in started:
        neovim.close()


def take_a_suggestion(neovim: Neovim) -> None:
    neovim.keys("Goret")
    neovim.wait_ghost("urn left")
    neovim.keys("<Tab>")
    neovim.wait(lambda: neovim.text().endswith("return left + right"), "the text", neovim.text)


def test_vim_pack_clones_and_loads_it(begin: Begin, version: str, home: Path) -> None:
    if version == "0.11":
        pytest.skip("vim.pack came with 0.12")
    neovim = begin(help_block("|vim.pack| (Neovim 0.12)").replace("}, {\n", "}, {\n  confirm = false,\n", 1))
    clone = home / "data/nvim/site/pack/core/opt/hef-lsp"
    assert (clone / "editors/neovim/lsp/hef_lsp.lua").exists()
    assert neovim.lua("vim.api.nvim_get_runtime_file('lsp/hef_lsp.lua', false)[1]").startswith(str(clone))
    take_a_suggestion(neovim)


def test_lazy_loads_it(begin: Begin) -> None:
    setup = (
        f"require('lazy').setup({{ spec = {{ {help_block('lazy.nvim:')} }}, rocks = {{ enabled = false }} }})"
    )
    neovim = begin(plugin("lazy.nvim") + setup)
    assert neovim.lua("require('lazy.core.config').plugins['hef-lsp']._.loaded ~= nil")
    take_a_suggestion(neovim)


def test_blink_lists_it_beside_the_ghost_text(begin: Begin) -> None:
    neovim = begin(plugin("blink.cmp") + BLINK + OURS)
    neovim.keys("Goret")
    label = "(require('blink.cmp.completion.list').items[1] or {}).label"
    neovim.wait(lambda: neovim.lua(label) == f"ret{SCRIPT}", "blink's list", lambda: str(neovim.lua(label)))
    assert neovim.lua("require('blink.cmp').is_menu_visible()")
    neovim.wait_ghost("urn left")
    neovim.keys("<C-y>")
    neovim.wait(lambda: neovim.text().endswith(f"\nret{SCRIPT}"), "the text", neovim.text)


def test_cmp_lists_it_beside_the_ghost_text(begin: Begin) -> None:
    neovim = begin(plugin("nvim-cmp") + plugin("cmp-nvim-lsp") + CMP + OURS)
    for key in ("Go", "r", "e", "t"):  # as typed: its source is made when insert mode begins
        neovim.keys(key)
        time.sleep(0.5)
    label = "(require('cmp').get_entries()[1] or { completion_item = {} }).completion_item.label"
    neovim.wait(lambda: neovim.lua(label) == f"ret{SCRIPT}", "cmp's list", lambda: str(neovim.lua(label)))
    assert neovim.lua("require('cmp').visible()")
    neovim.wait_ghost("urn left")
    neovim.keys("<C-n><C-y>")
    neovim.wait(lambda: neovim.text().endswith(f"\nret{SCRIPT}"), "the text", neovim.text)

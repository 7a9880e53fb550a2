"""`:Hef`, `:checkhealth`, the statusline and the help file, in Neovim 0.11 and 0.12."""

from __future__ import annotations

from conftest import StartNeovim
from neovim import Neovim


def messages(neovim: Neovim) -> str:
    return str(neovim.lua("vim.api.nvim_exec2('messages', { output = true }).output"))


def wait_said(neovim: Neovim, wanted: str) -> None:
    neovim.wait(lambda: wanted in messages(neovim), wanted, lambda: messages(neovim))


def test_each_command_answers(start: StartNeovim) -> None:
    neovim = start()
    for command, wanted in (
        ("status", "state     ready"),
        ("context none", "context: none"),
        ("context", "context: none"),
        ("pause on", "the index stands still"),
        ("pause off", "the index goes on"),
        ("reindex", "the index is built anew"),
        ("explain", "nothing was suggested here yet"),
        ("nonsense", "no command nonsense"),
        ("pause maybe", ":Hef pause takes on, off"),
    ):
        neovim.run("vim.cmd('messages clear')")
        neovim.run(f"pcall(vim.cmd, 'Hef {command}')")
        wait_said(neovim, wanted)


def test_arguments_are_completed(start: StartNeovim) -> None:
    neovim = start()
    commands = ["context", "explain", "pause", "reindex", "status", "toggle"]
    assert neovim.lua("vim.fn.getcompletion('Hef ', 'cmdline')") == commands
    assert neovim.lua("vim.fn.getcompletion('Hef context d', 'cmdline')") == ["dense"]


def test_explain_opens_a_buffer_that_jumps_to_the_files(start: StartNeovim) -> None:
    neovim = start({"backend": "extmark"})
    neovim.run("vim.cmd('Hef context text')")
    neovim.keys("Goret")
    neovim.wait_ghost("urn left")
    neovim.keys("<Esc>:Hef explain<CR>")
    neovim.wait(lambda: neovim.lua("vim.bo.filetype") == "hef-explain", "the explanation")
    assert neovim.text().startswith("# adding.py:3"), neovim.text()
    assert "urn left + right" in neovim.text()
    hit = neovim.lua("vim.fn.search('^other.py:')")
    assert hit > 0, neovim.text()
    neovim.keys("<CR>")
    neovim.wait(lambda: neovim.lua("vim.fn.expand('%:t')") == "other.py", "the file", neovim.text)


def test_health_says_what_there_is(start: StartNeovim) -> None:
    neovim = start()
    neovim.run("vim.cmd('checkhealth hef_lsp')")
    report = neovim.text()
    assert "ghost text is drawn by" in report, report
    assert "ready" in report, report
    assert "Failed to run healthcheck" not in report, report


def test_health_names_a_wrong_option(start: StartNeovim) -> None:
    neovim = start({"colour": "red"})
    neovim.run("vim.cmd('checkhealth hef_lsp')")
    assert "unknown option: colour" in neovim.text()


def test_the_list_holds_the_suggestion(start: StartNeovim) -> None:
    neovim = start({"ghost_text": False}, more="vim.o.completeopt = 'menuone,noselect'")
    neovim.keys("Goret<C-x><C-o>")
    neovim.wait(lambda: neovim.lua("vim.fn.pumvisible()") == 1, "the list", neovim.text)
    words = neovim.lua("vim.tbl_map(function(i) return i.abbr end, vim.fn.complete_info({'items'}).items)")
    assert words[0] == "return left + right", words


def test_help_has_its_tags(start: StartNeovim) -> None:
    neovim = start()
    neovim.run(
        "vim.cmd('helptags ' .. vim.api.nvim_get_runtime_file('doc/hef-lsp.txt', false)[1]:match('^(.*)/'))"
    )
    for tag in (":Hef", "hef-lsp-install", "hef-lsp-options", "hef-lsp-statusline", "hef-lsp-keys"):
        neovim.run(f"vim.cmd.help('{tag}')")
        assert neovim.lua("vim.fn.expand('%:t')") == "hef-lsp.txt", tag

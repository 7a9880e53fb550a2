"""Ghost text in Neovim 0.11 and 0.12 with the real server and fake models: shown, taken, left."""

from __future__ import annotations

import pytest
from conftest import SCRIPT, SOURCE, StartNeovim

TYPED = SOURCE + "    ret"


@pytest.fixture(params=["auto", "extmark"])
def options(request: pytest.FixtureRequest, version: str) -> dict[str, str]:
    if request.param == "extmark" and version == "0.11":
        pytest.skip("0.11 has this one only, which is what auto takes")
    return {"backend": request.param}


@pytest.mark.editors_short
def test_a_suggestion_is_shown_and_taken_with_tab(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options)
    neovim.keys("Go    ret")
    neovim.wait_ghost("urn left + right")
    neovim.keys("<Tab>")
    neovim.wait(lambda: neovim.text() == TYPED + SCRIPT, "the text", neovim.text)


def test_one_undo_takes_back_what_was_accepted(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options)
    neovim.keys("Go    ret")
    neovim.wait_ghost("urn left")
    neovim.keys("<Tab>")
    neovim.wait(lambda: neovim.text().endswith(SCRIPT), "the text", neovim.text)
    neovim.keys("<Esc>u")
    neovim.wait(lambda: neovim.text() == TYPED, "the typed text", neovim.text)


def test_typing_along_keeps_the_rest(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options)
    neovim.keys("Go    ret")
    neovim.wait_ghost("urn left + right")
    neovim.keys("urn l")
    neovim.wait_ghost("eft + right")
    assert "urn l" not in neovim.ghost()
    neovim.keys("<Tab>")
    neovim.wait(lambda: neovim.text() == TYPED + SCRIPT, "the text", neovim.text)


def test_a_word_and_a_line_are_taken(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options)
    neovim.keys("Go    ret")
    neovim.wait_ghost("urn left + right")
    neovim.keys("<M-w>")
    neovim.wait(lambda: neovim.text().endswith("    return"), "the first word", neovim.text)
    neovim.wait_ghost(" left + right")
    neovim.keys("<M-w>")
    neovim.wait(lambda: neovim.text().endswith("    return left"), "the second word", neovim.text)
    neovim.wait_ghost(" + right")
    neovim.keys("<M-l>")
    neovim.wait(lambda: neovim.text().endswith(SCRIPT), "the line", neovim.text)


def test_dismiss_takes_it_off_the_screen(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options)
    neovim.keys("Go    ret")
    neovim.wait_ghost("urn left + right")
    neovim.keys("<M-e>")
    neovim.wait(lambda: neovim.ghost() == "", "no ghost text", neovim.ghost)
    neovim.keys("<Tab>x")
    neovim.wait(lambda: neovim.text().endswith("x"), "the x", neovim.text)
    assert "urn left" not in neovim.text()


def test_tab_without_a_suggestion_is_a_tab(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options, script="")
    neovim.keys("Goa<Tab>b")
    neovim.wait(lambda: neovim.text().endswith("b"), "the b", neovim.text)
    assert neovim.text() == SOURCE + "a\tb"


def test_tab_goes_on_to_a_mapping_of_the_user(start: StartNeovim, options: dict[str, str]) -> None:
    more = "vim.keymap.set('i', '<Tab>', function() return 'MINE' end, { expr = true })"
    neovim = start(options, script="", more=more)
    neovim.keys("Goa<Tab>b")
    neovim.wait(lambda: neovim.text().endswith("b"), "the b", neovim.text)
    assert neovim.text() == SOURCE + "aMINEb"


def test_leaving_insert_mode_clears(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options)
    neovim.keys("Go    ret")
    neovim.wait_ghost("urn left")
    neovim.keys("<Esc>")
    neovim.wait(lambda: neovim.ghost() == "", "no ghost text", neovim.ghost)


def test_next_and_previous_ask_for_alternatives(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options)
    neovim.keys("Go    ret")
    neovim.wait_ghost("urn left + right")
    neovim.keys("<M-n>")
    neovim.wait_ghost("urn left + right")
    neovim.keys("<M-p>")
    neovim.wait_ghost("urn left + right")
    neovim.keys("<Tab>")
    neovim.wait(lambda: neovim.text() == TYPED + SCRIPT, "the text", neovim.text)


def test_toggled_off_there_is_none(start: StartNeovim, options: dict[str, str]) -> None:
    neovim = start(options)
    neovim.keys(":Hef toggle off<CR>Go    ret")
    neovim.wait(lambda: neovim.text().endswith("ret"), "the text", neovim.text)
    neovim.run("vim.wait(1000)")
    assert neovim.ghost() == ""
    neovim.keys("<Esc>:Hef toggle on<CR>A ")
    neovim.wait_ghost("left + right")


def test_where_the_cursor_rests_is_worked_out_before_anybody_types(start: StartNeovim) -> None:
    neovim = start(None)

    def n_said() -> str:
        command = "{ command = 'stub.tokens', arguments = {} }"
        client = "vim.lsp.get_clients({ name = 'hef_lsp' })[1]"
        said = neovim.lua(f"{client}:request_sync('workspace/executeCommand', {command}, 2000).result.tokens")
        return str(said)

    assert n_said() == "0"
    neovim.keys("G$")
    neovim.wait(lambda: n_said() != "0", "what is asked there", n_said)
    neovim.keys("i<Esc>")
    assert neovim.text() == SOURCE.removesuffix("\n")

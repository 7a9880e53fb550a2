"""Debian packages unpacked into a folder, with the libraries they need; nothing on the system changes.

Owns an apt of its own (source list, state, cache) and the loader and library paths of unpacked programs.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SOURCE = (
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n"
)
LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib")

OPTIONS = """
Dir::Etc::sourcelist "{home}/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "{home}";
Dir::State::lists "{home}/lists";
Dir::State::status "{home}/status";
Dir::Cache "{home}/cache";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
"""


class Apt:
    """An apt whose state lies below `home`. As no package counts as installed, all libraries come along."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        for folder in ("lists/partial", "cache/archives/partial"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        (self.home / "status").touch()
        (self.home / "sources.list").write_text(SOURCE)
        (self.home / "options").write_text(OPTIONS.format(home=self.home))
        self._run("update")

    def unpack(self, target: Path, *packages: str) -> None:
        """`packages` and what they depend on, into `target`."""
        archives = self.home / "cache/archives"
        for old in archives.glob("*.deb"):
            old.unlink()
        self._run("install", "-y", "--download-only", *packages)
        target.mkdir(parents=True, exist_ok=True)
        for package in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(target)], check=True)

    def _run(self, *arguments: str) -> None:
        environment = {**os.environ, "APT_CONFIG": str(self.home / "options")}
        subprocess.run(["apt-get", "-qq", *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def make_runnable(program: Path, root: Path, patchelf: str) -> None:
    """Lets `program`, unpacked in `root`, find the loader and the libraries of `root`."""
    paths = ":".join(str(root / folder) for folder in LIBRARIES)
    # DT_RPATH, unlike DT_RUNPATH, also holds for the libraries that the libraries need.
    arguments = ["--set-interpreter", str(root / LOADER), "--force-rpath", "--set-rpath", paths, str(program)]
    subprocess.run([patchelf, *arguments], check=True)

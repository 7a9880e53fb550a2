"""`hef-lsp doctor`: looks at hardware, models, index and editors, and says what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hef_lsp.commands.console import out
from hef_lsp.places import index_directory

GIB = 1 << 30
LEAST_FREE_DISK_BYTES = 2 * GIB
LEAST_FREE_MEMORY_BYTES = 1 * GIB
LEAST_INOTIFY_WATCHES = 8192
EDITORS = {
    "code": "VS Code",
    "codium": "VSCodium",
    "nvim": "Neovim",
    "hx": "Helix",
    "emacs": "Emacs",
    "vim": "Vim",
    "zed": "Zed",
    "subl": "Sublime Text",
    "kate": "Kate",
}


class Verdict(StrEnum):
    """How a finding stands."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `advice` says what to do, empty when nothing is."""

    subject: str
    verdict: Verdict
    fact: str
    advice: str = ""


def doctor(
    folder: Annotated[Path, typer.Argument(help="The workspace whose index is looked at.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check hardware, models, index and editors, and say what to do."""
    findings = list(examine(folder))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print_findings(findings)
    if any(finding.verdict is Verdict.BAD for finding in findings):
        raise typer.Exit(1)


def examine(folder: Path) -> Iterator[Finding]:
    """Every finding, in the order in which a user would mend them. Never raises."""
    checks: tuple[Callable[[], Finding], ...] = (
        check_python,
        check_torch,
        check_hnswlib,
        check_hardware,
        check_kernel,
        check_memory,
        check_disk,
        check_watches,
        check_models,
        lambda: check_index(folder),
        check_editors,
    )
    for check in checks:
        try:
            yield check()
        except Exception as error:  # noqa: BLE001 - a check that breaks is itself a finding
            name = getattr(check, "__name__", "index").removeprefix("check_")
            yield Finding(
                name, Verdict.BAD, f"could not be looked at: {error}", "report this with the text above"
            )


def check_python() -> Finding:
    version = platform.python_version()
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("python", Verdict.BAD, version, "install Python 3.11, 3.12 or 3.13")
    return Finding("python", Verdict.GOOD, f"{version} on {platform.system()} {platform.machine()}")


def check_torch() -> Finding:
    try:
        return Finding("torch", Verdict.GOOD, importlib.metadata.version("torch"))
    except importlib.metadata.PackageNotFoundError:
        return Finding("torch", Verdict.BAD, "not installed", "reinstall hef-lsp; it depends on torch")


def check_hnswlib() -> Finding:
    if importlib.util.find_spec("hnswlib"):
        return Finding("hnswlib", Verdict.GOOD, importlib.metadata.version("hnswlib"))
    advice = "large workspaces are searched exactly, which is slower; hnswlib needs a C++ compiler to install"
    return Finding("hnswlib", Verdict.NOTE, "not installed", advice)


def check_hardware() -> Finding:
    from model.hardware import describe_hardware

    hardware = describe_hardware()
    fact = f"{hardware.device_name} ({hardware.device}), {hardware.physical_cores} cores"
    return Finding("hardware", Verdict.GOOD, fact)


def check_kernel() -> Finding:
    from model.runtime.kernel.library import COMPILERS, why_none, why_not_here

    reason = why_none()
    if reason is None:
        return Finding("kernel", Verdict.GOOD, "built for this machine")
    advice = "suggestions are made by torch's kernels, which is slower"
    if why_not_here() is None and not any(compiler.is_file() for compiler in COMPILERS):
        advice += "; install gcc or clang (Debian: apt install gcc libc6-dev)"
    return Finding("kernel", Verdict.NOTE, reason, advice)


def check_memory() -> Finding:
    from model.hardware import describe_hardware

    hardware = describe_hardware()
    fact = f"{hardware.free_memory / GIB:.1f} of {hardware.total_memory / GIB:.1f} GiB free"
    if hardware.free_memory < LEAST_FREE_MEMORY_BYTES:
        return Finding("memory", Verdict.BAD, fact, "close something: the smallest model needs 1 GiB")
    return Finding("memory", Verdict.GOOD, fact)


def check_disk() -> Finding:
    place = next(folder for folder in (index_directory(), *index_directory().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    fact = f"{free / GIB:.1f} GiB free at {place}"
    if free < LEAST_FREE_DISK_BYTES:
        return Finding("disk", Verdict.BAD, fact, "free 2 GiB there: models and indexes need it")
    return Finding("disk", Verdict.GOOD, fact)


def check_watches() -> Finding:
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    if not limit.exists():
        return Finding("file events", Verdict.GOOD, "the system's own")
    watches = int(limit.read_text())
    if watches < LEAST_INOTIFY_WATCHES:
        advice = "raise fs.inotify.max_user_watches, or large workspaces are polled"
        return Finding("file events", Verdict.NOTE, f"{watches} inotify watches", advice)
    return Finding("file events", Verdict.GOOD, f"{watches} inotify watches")


def check_models() -> Finding:
    from model.hub import ModelHub, default_cache_dir

    hub = ModelHub(default_cache_dir(), offline=True)
    present = [entry.spec.name for entry in hub.list() if entry.present]
    if not present:
        return Finding("models", Verdict.BAD, "none on disk", "run: hef-lsp model pull smollm2-135m")
    return Finding("models", Verdict.GOOD, ", ".join(present))


def check_index(folder: Path) -> Finding:
    from hef_lsp.workspace import stored_status

    report = stored_status(folder.resolve(), None) if folder.is_dir() else None
    if report is None:
        return Finding(
            "index",
            Verdict.NOTE,
            f"none of {folder.resolve()}",
            f"made when an editor opens it, or: hef-lsp index {folder}",
        )
    return Finding(
        "index", Verdict.GOOD, f"{report['files']:,} files, {report['chunks']:,} chunks of {folder.resolve()}"
    )


def check_editors() -> Finding:
    found = [name for command, name in EDITORS.items() if shutil.which(command)]
    if not found:
        return Finding(
            "editors", Verdict.NOTE, "none on PATH", "any editor that speaks LSP will do; see editors/"
        )
    return Finding("editors", Verdict.GOOD, ", ".join(found))


_MARKS = {Verdict.GOOD: "[green]ok[/]", Verdict.NOTE: "[yellow]note[/]", Verdict.BAD: "[red]bad[/]"}


def _print_findings(findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(_MARKS[finding.verdict], finding.subject, finding.fact)
        if finding.advice:
            table.add_row("", "", f"[dim]→ {finding.advice}[/]")
    out().print(table)

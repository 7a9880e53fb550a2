"""`hef-lsp stats`: what was counted of accepted suggestions on this machine, and its removal."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from hef_lsp.commands.console import fail, out
from hef_lsp.commands.indexing import CacheDir
from hef_lsp.places import user_folder
from hef_lsp.statistics import FILE_NAME, clear_counts, read_counts


def stats(
    clear: Annotated[bool, typer.Option("--clear", help="Remove what was counted.")] = False,
    cache_dir: CacheDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print how many suggestions were shown, accepted and kept; nothing of it ever leaves this machine."""
    folder = cache_dir or user_folder()
    if clear:
        try:
            clear_counts(folder)
        except OSError as error:
            raise fail(f"{folder / FILE_NAME} cannot be removed ({error}); delete it yourself") from error
    counts = read_counts(folder)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(counts)))
        return
    out().print(
        f"shown {counts.offered}, accepted {counts.accepted}, still there after 30 s {counts.survived}"
    )
    out().print(f"kept in {folder / FILE_NAME}; hef.completion.statistics = false counts nothing more")

"""`hef-lsp serve`: the language server on stdio, or on loopback for debugging."""

from __future__ import annotations

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hef_lsp.commands.console import err, fail, quiet_logging
from hef_lsp.places import user_folder


class LogLevel(StrEnum):
    """How much is said on stderr; source text appears at `debug` only."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    DEBUG = "debug"


def serve(
    tcp: Annotated[
        int | None,
        typer.Option("--tcp", metavar="PORT", help="Serve one client on 127.0.0.1:PORT."),
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option("--cache-dir", metavar="DIR", help="Keep indexes below DIR, not in the user's cache."),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="What to log on stderr.")] = LogLevel.WARNING,
) -> None:
    """Serve the Language Server Protocol; editors start this."""
    from hef_lsp.models_loading import load_models
    from hef_lsp.server import create_server, run_server
    from hef_lsp.tcp_token import VARIABLE, TokenProblem, token_for

    quiet_logging(getattr(logging, log_level.name))
    server = create_server(
        lambda settings, say: load_models(settings.model, say, keeps_module=False), cache_dir
    )
    if tcp is None:
        raise typer.Exit(run_server(server, tcp_port=None))
    try:
        with token_for(tcp, cache_dir or user_folder()) as (token, path):
            where = path or f"the environment variable {VARIABLE}"
            err().print(f"hef-lsp: one client is served on 127.0.0.1:{tcp}; its token is in {where}")
            raise typer.Exit(run_server(server, tcp, token))
    except TokenProblem as problem:
        raise fail(str(problem)) from problem

"""How commands speak: results on stdout, progress and complaints on stderr, plain when piped.

Owns the two consoles and the way a named error ends a command.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from indexer.errors import IndexProblem
from model.errors import ModelError


def out() -> Console:
    """The console of results; wide enough not to fold when it is no terminal."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def err() -> Console:
    """The console of progress and complaints."""
    return Console(stderr=True, highlight=False)


def fail(message: str) -> typer.Exit:
    """Say what is wrong and what to do; raise what this returns."""
    err().print(f"hef-lsp: {message}", markup=False, soft_wrap=True)
    return typer.Exit(code=1)


@contextmanager
def named_errors() -> Iterator[None]:
    """Turns the layers' named errors into one line and exit code 1; others keep their traceback."""
    try:
        yield
    except (ModelError, IndexProblem) as error:
        raise fail(str(error)) from error


def shard_of(text: str) -> tuple[int, int]:
    """Part i of n, from `i/n`; ends the command for anything else."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise fail(f"--shard is {text!r}, expected i/n such as 0/2")
    return int(number), int(of)


def quiet_logging(level: int = logging.WARNING) -> None:
    """Log to stderr, from `level` on; called by commands only, never on import."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def say_fetching() -> Callable[[str, int, int], None]:
    """A listener to downloads that says each one once, with its size, before a minute of silence."""
    said: set[str] = set()

    def listen(label: str, done_bytes: int, total_bytes: int) -> None:
        if label not in said:
            said.add(label)
            err().print(f"{label}: fetching {total_bytes / 1e6:.0f} MB, once", markup=False, soft_wrap=True)

    return listen


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr that leaves nothing behind; silent when stderr is no terminal."""
    console = err()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield progress

"""`hef-lsp complete` and `hef-lsp explain`: one suggestion from the command line, and its reasons."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hef_lsp.commands.console import err, fail, named_errors, out, say_fetching
from hef_lsp.commands.indexing import CacheDir
from hef_lsp.commands.views import print_explanation
from hef_lsp.documents import DocumentSnapshot, PositionEncoding
from hef_lsp.settings import (
    LONGEST_DEADLINE_MS,
    CompletionSettings,
    ContextMode,
    ContextSettings,
    ModelSettings,
    Settings,
)
from indexer.languages import language_of

MOST_BYTES = 8 << 20

File = Annotated[Path, typer.Argument(help="The file to complete in.")]
Line = Annotated[int, typer.Option("--line", "-l", min=0, help="Line, counted from 0 as in LSP.")]
Character = Annotated[int, typer.Option("--character", "-c", min=0, help="UTF-16 unit in the line, from 0.")]
Workspace = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="Workspace folder; the file's repository if not given."),
]
Context = Annotated[ContextMode, typer.Option("--context", help="How the repository reaches the model.")]
Model = Annotated[str, typer.Option("--model", help="Model name, folder, GGUF file or hub id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complete(
    file: File,
    line: Line,
    character: Character,
    workspace: Workspace = None,
    context: Context = ContextMode.AUTO,
    model: Model = "auto",
    alternatives: Annotated[int, typer.Option(min=1, max=10, help="How many suggestions.")] = 1,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Print what would be suggested at a place of a file."""
    answer = _answer(file, line, character, workspace, context, model, alternatives, cache_dir)
    if as_json:
        typer.echo(json.dumps(answer, indent=2, default=str))
        return
    for number, text in enumerate(answer["suggestions"]):
        typer.echo(text if alternatives == 1 else f"--- {number + 1}\n{text}")
    if not answer["suggestions"]:
        err().print("no suggestion here")


def explain(
    file: File,
    line: Line,
    character: Character,
    workspace: Workspace = None,
    context: Context = ContextMode.AUTO,
    model: Model = "auto",
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Print which chunks, levels, scores and pseudo-tokens stand behind a suggestion."""
    answer = _answer(file, line, character, workspace, context, model, 1, cache_dir)
    if as_json:
        typer.echo(json.dumps(answer, indent=2, default=str))
        return
    if answer["explanation"] is None:
        err().print("nothing was generated, so there is nothing to explain")
        return
    print_explanation(out(), answer["explanation"])


def _answer(
    file: Path,
    line: int,
    character: int,
    workspace: Path | None,
    context: ContextMode,
    model: str,
    n_alternatives: int,
    cache_dir: Path | None,
) -> dict[str, Any]:
    document = read_document(file)
    offset = checked_offset(document, line, character)
    root = (workspace or repository_of(file)).resolve()
    settings = Settings(
        model=ModelSettings(name=model),
        context=dataclasses.replace(ContextSettings(), mode=context),
        completion=dataclasses.replace(
            CompletionSettings(),
            alternatives=n_alternatives,
            deadline_ms=LONGEST_DEADLINE_MS,
            alternatives_ms=LONGEST_DEADLINE_MS,
        ),
    )
    from hef_lsp.local import local_session
    from hef_lsp.scheduling import CancellationToken, LanePriority

    with (
        named_errors(),
        local_session(root, settings, None, say_fetching(), cache_dir, fuse_only_if_read=True) as session,
    ):
        session.folder.wait_idle(None)
        request = session.request(file, document, offset, n_alternatives)
        suggestions = session.lane.run(
            LanePriority.KEYSTROKE, lambda: session.engine.complete(request, CancellationToken())
        )
        explanation = session.engine.last_explanation
    return {
        "suggestions": [suggestion.text for suggestion in suggestions],
        "explanation": dataclasses.asdict(explanation) if explanation else None,
    }


def read_document(file: Path) -> DocumentSnapshot:
    """The file as a document; one that is none, is huge or holds no text ends the command."""
    if not file.is_file():
        raise fail(f"{file} is not a file; give the file to complete in")
    try:
        if file.stat().st_size > MOST_BYTES:
            raise fail(f"{file} is larger than {MOST_BYTES >> 20} MiB; give a smaller file")
        data = file.read_bytes()
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}; allow reading it") from error
    if b"\0" in data:
        raise fail(f"{file} holds no text; give a source file")
    text = data.decode("utf-8", "replace")
    return DocumentSnapshot.of(file.resolve().as_uri(), 0, language_of(file.name) or "plaintext", text)


def checked_offset(document: DocumentSnapshot, line: int, character: int) -> int:
    """The offset of a place; one outside the document ends the command."""
    if line >= document.n_lines:
        raise fail(f"line {line} is outside the file, which has {document.n_lines} lines; they count from 0")
    units = len(document.line_text(line).encode("utf-16-le")) // 2
    if character > units:
        raise fail(f"character {character} is outside line {line}, which has {units}; they count from 0")
    return document.offset_at(line, character, PositionEncoding.UTF16)


def repository_of(file: Path) -> Path:
    """The nearest folder above `file` that holds a repository, else the file's own folder."""
    folders = file.resolve().parents
    markers = (".git", ".hg", ".svn")
    return next((folder for folder in folders if any((folder / m).exists() for m in markers)), folders[0])

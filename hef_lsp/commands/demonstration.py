"""`hef-lsp demo`: the main job on a repository that is not ours, told as it happens.

Copies the sources of an installed package to a temporary folder, starts the real server on it over
stdio, and shows: the first index, an edit and what it cost, three completions, and the reasons.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.rule import Rule

from hef_lsp.commands.console import err, fail, out
from hef_lsp.commands.views import explanation_view, figures_view, timings_line

PACKAGES = ("platformdirs", "filelock", "watchdog", "pygls", "jinja2")
N_COMPLETIONS = 3
SHORTEST_LINE = 30


@dataclass(frozen=True)
class Place:
    """Where the demo asks: `typed` stands before the cursor on its line, `truth` followed in the original."""

    path: Path
    line: int
    typed: str
    truth: str


def demo(
    package: Annotated[
        str | None, typer.Option(help="Installed package whose sources are used; default: the first found.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model name, folder, GGUF file or hub id.")] = "auto",
    context: Annotated[str, typer.Option(help="Context mode of the completions.")] = "auto",
    keep: Annotated[bool, typer.Option(help="Keep the temporary folder.")] = False,
) -> None:
    """Index a repository, follow an edit, complete code, explain: the whole main job."""
    name, source = _package_sources(package)
    folder = Path(tempfile.mkdtemp(prefix="hef-lsp-demo-"))
    try:
        root = folder / name
        shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyc"))
        asyncio.run(_Demo(out(), root.resolve(), folder / "cache", model, context).run())
    finally:
        if keep:
            err().print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _package_sources(package: str | None) -> tuple[str, Path]:
    for name in (package,) if package else PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            return name, Path(next(iter(spec.submodule_search_locations)))
    raise fail(f"no installed package {package or 'of ' + ', '.join(PACKAGES)}; name one with --package")


class _Demo:
    """One telling; `root` is the copied repository."""

    def __init__(self, console: Console, root: Path, cache_dir: Path, model: str, context: str) -> None:
        self._console, self._root, self._cache_dir = console, root, cache_dir
        # Memories are made only where a mode reads them, and this is to show how they are kept up to date.
        self._options = {"model": {"name": model}, "context": {"mode": "dense"}}
        self._context = context

    async def run(self) -> None:
        from hef_lsp.lsp_client import editor_client

        self._say(f"[bold]hef-lsp[/] on the sources of [bold]{self._root.name}[/], in {self._root}")
        started = time.perf_counter()
        async with editor_client(self._root, self._options, cache_dir=self._cache_dir) as editor:
            self._step(
                f"1. The server starts: initialize answered after {time.perf_counter() - started:.2f} s"
            )
            await self._first_index(editor, started)
            await self._edit(editor)
            await self._completions(editor)
            self._step("The server shut down")

    async def _first_index(self, editor: Any, started: float) -> None:
        self._step("2. It reads the repository")
        with err().status("loading the model, indexing, and fusing every chunk (some minutes) …"):
            status = await editor.wait_until_settled()
        if status.get("state") == "error":
            raise fail(f"the server says: {status.get('message')}")
        self._say(f"settled {time.perf_counter() - started:.1f} s after the start, the model's load included")
        self._figures(
            status, ("model", "files", "chunks", "nodes", "embedded", "encoded", "fused", "generation")
        )

    async def _edit(self, editor: Any) -> None:
        self._step("3. A file changes on disk")
        path = max(self._root.rglob("*.py"), key=lambda file: file.stat().st_size)
        before = await editor.command("hef.status")
        lines = path.read_text(encoding="utf-8").split("\n")
        lines.insert(len(lines) // 2, "    # a line that was not here before")
        path.write_text("\n".join(lines), encoding="utf-8")
        started = time.perf_counter()
        after = await _next_generation(editor, before)
        self._say(f"one line went into {path.relative_to(self._root)} ({len(lines):,} lines)")
        keys = ("embedded", "encoded", "fused", "generation")
        self._figures({key: after["index"][key] - before["index"][key] for key in keys}, keys)
        elapsed_s = time.perf_counter() - started
        n_nodes = after["index"]["nodes"]
        self._say(f"of {n_nodes:,} nodes; seen by the watcher and done {elapsed_s:.2f} s after the save")

    async def _completions(self, editor: Any) -> None:
        self._step("4. Three completions")
        await self._switch(editor, self._context)
        asked = places(self._root, N_COMPLETIONS)
        explanation = None
        for place in asked:
            explanation = await self._complete_at(editor, place) or explanation
        if explanation:
            self._step("Why the last one: hef.explain")
            self._console.print(explanation_view(explanation))
        if asked and explanation and explanation["mode"] != "dense":
            await self._dense(editor, asked[-1])

    async def _dense(self, editor: Any, place: Place) -> None:
        self._step("5. The same place through pseudo-tokens")
        status = await editor.command("hef.status")
        for note in status.get("notes", ()):
            self._console.print(str(note), style="yellow", markup=False)
        self._say("(what the model made of the retrieved chunks beforehand, nothing of it read at the key)")
        await self._switch(editor, "dense")
        explanation = await self._complete_at(editor, place)
        if explanation:
            self._console.print(explanation_view(explanation))

    async def _switch(self, editor: Any, context: str) -> None:
        await editor.command("hef.setContext", context)
        await editor.wait_until_settled()

    async def _complete_at(self, editor: Any, place: Place) -> Any:
        text = place.path.read_text(encoding="utf-8").split("\n")
        text[place.line :] = [place.typed]
        uri = editor.open(place.path, "\n".join(text))
        started = time.perf_counter()
        suggestions = await editor.inline_complete(uri, place.line, len(place.typed), invoked=False)
        elapsed_ms = (time.perf_counter() - started) * 1000
        explanation = await editor.command("hef.explain", uri)
        self._say("")
        self._say(f"[dim]{place.path.relative_to(self._root)}:{place.line + 1}[/]")
        suggested = suggestions[0] if suggestions else ""
        self._console.print(place.typed.lstrip(), end="", markup=False)
        self._console.print(suggested or "(nothing)", style="green", markup=False)
        self._console.print(f"the author wrote: {place.truth.strip()}", style="dim", markup=False)
        self._say(f"[cyan]{elapsed_ms:.0f} ms[/] from request to answer: {timings_line(explanation)}")
        editor.close(uri)
        return explanation

    def _step(self, text: str) -> None:
        self._console.print()
        self._console.print(
            Rule(text, align="left", style="blue") if self._console.is_terminal else f"== {text}"
        )

    def _say(self, text: str) -> None:
        self._console.print(text)

    def _figures(self, status: dict[str, Any], names: tuple[str, ...]) -> None:
        flat = {**status, **status.get("index", {})}
        self._console.print(figures_view({name: flat[name] for name in names if name in flat}))


async def _next_generation(editor: Any, before: dict[str, Any], timeout_s: float = 60.0) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        status: dict[str, Any] = await editor.wait_until_settled()
        if status["index"]["generation"] > before["index"]["generation"]:
            return status
        await asyncio.sleep(0.05)
    raise fail("the index did not follow the edit within a minute; run: hef-lsp doctor")


def places(root: Path, count: int) -> list[Place]:
    """Lines whose right side names something of the repository, one a file, in a fixed order."""
    found: list[Place] = []
    for path in sorted(root.rglob("*.py"), key=lambda file: -file.stat().st_size):
        lines = path.read_text(encoding="utf-8").split("\n")
        for number in range(len(lines) * 2 // 3, len(lines)):
            place = _place_in(path, number, lines[number])
            if place is not None:
                found.append(place)
                break
        if len(found) == count:
            break
    return found


def _place_in(path: Path, number: int, line: str) -> Place | None:
    for opener in ("return self.", "= self.", "raise "):
        at = line.find(opener)
        if at >= 0 and line.rstrip().endswith(")") and len(line) >= SHORTEST_LINE:
            cut = at + len(opener)
            return Place(path, number, line[:cut], line[cut:])
    return None

"""An editor without a screen: starts the real server and speaks LSP to it over stdio.

What the demo and the benches drive. Owns one server process and its stderr; knows nothing of
how the server works inside.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from hef_lsp import __version__

POLL_S = 0.05
LAST_WORDS = 20
LAST_WORDS_PATIENCE_S = 1.0
SETTLED_STATES = ("ready", "error", "paused")


class ServerNotReady(Exception):
    """The server did not come to rest, so nothing can be measured."""


class ServerDied(Exception):
    """The server process ended; the message holds the end of its stderr."""


@dataclass
class EditorClient:
    """One editor session. Positions are (line, character) from 0, in UTF-16 units."""

    client: LanguageClient
    process: asyncio.subprocess.Process
    versions: dict[str, int] = field(default_factory=dict)
    stderr: list[str] = field(default_factory=list)
    reader: asyncio.Task[None] | None = None

    def open(self, path: Path, text: str, language: str = "python") -> str:
        """didOpen; returns the document's URI."""
        uri = path.as_uri()
        self.versions[uri] = 0
        item = lsp.TextDocumentItem(uri=uri, language_id=language, version=0, text=text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return uri

    def insert(self, uri: str, line: int, character: int, text: str) -> None:
        """didChange with one insertion."""
        place = lsp.Position(line, character)
        change = lsp.TextDocumentContentChangePartial(range=lsp.Range(place, place), text=text)
        self._change(uri, change)

    def replace_all(self, uri: str, text: str) -> None:
        """didChange with the whole text."""
        self._change(uri, lsp.TextDocumentContentChangeWholeDocument(text=text))

    def _change(self, uri: str, change: lsp.TextDocumentContentChangeEvent) -> None:
        self.versions[uri] += 1
        document = lsp.VersionedTextDocumentIdentifier(uri=uri, version=self.versions[uri])
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [change]))

    def close(self, uri: str) -> None:
        """didClose; nothing where the server has ended, which whoever waits for an answer is told."""
        del self.versions[uri]
        if self.process.returncode is not None:
            return
        self.client.text_document_did_close(lsp.DidCloseTextDocumentParams(lsp.TextDocumentIdentifier(uri)))

    def file_changed(self, path: Path, kind: lsp.FileChangeType = lsp.FileChangeType.Changed) -> None:
        """didChangeWatchedFiles for one file, as after a save."""
        event = lsp.FileEvent(uri=path.as_uri(), type=kind)
        self.client.workspace_did_change_watched_files(lsp.DidChangeWatchedFilesParams([event]))

    async def inline_complete(self, uri: str, line: int, character: int, invoked: bool = True) -> list[str]:
        """The texts that would appear as ghost text."""
        kind = (
            lsp.InlineCompletionTriggerKind.Invoked if invoked else lsp.InlineCompletionTriggerKind.Automatic
        )
        params = lsp.InlineCompletionParams(
            context=lsp.InlineCompletionContext(trigger_kind=kind),
            text_document=lsp.TextDocumentIdentifier(uri),
            position=lsp.Position(line, character),
        )
        answer = await self._answered(self.client.text_document_inline_completion_async(params))
        items: Sequence[lsp.InlineCompletionItem] = getattr(answer, "items", answer) or ()
        return [
            item.insert_text if isinstance(item.insert_text, str) else item.insert_text.value
            for item in items
        ]

    async def complete(self, uri: str, line: int, character: int) -> Sequence[lsp.CompletionItem]:
        """The items of the completion list."""
        params = lsp.CompletionParams(
            text_document=lsp.TextDocumentIdentifier(uri), position=lsp.Position(line, character)
        )
        answer = await self._answered(self.client.text_document_completion_async(params))
        return getattr(answer, "items", answer) or ()

    async def command(self, name: str, *arguments: Any) -> Any:
        """workspace/executeCommand, with the answer as plain JSON values."""
        params = lsp.ExecuteCommandParams(command=name, arguments=list(arguments))
        return _plain(await self._answered(self.client.workspace_execute_command_async(params)))

    async def wait_until_settled(self, timeout_s: float = 600.0) -> dict[str, Any]:
        """Polls `hef.status` until models are loaded and the index has nothing left to do."""
        deadline = time.monotonic() + timeout_s
        while True:
            status: dict[str, Any] = await self.command("hef.status")
            if status.get("state") in SETTLED_STATES or time.monotonic() >= deadline:
                return status
            await asyncio.sleep(POLL_S)

    async def wait_until_ready(self, timeout_s: float) -> dict[str, Any]:
        """The same; raises ServerNotReady where it comes to rest in another state."""
        status = await self.wait_until_settled(timeout_s)
        if status.get("state") != "ready":
            raise ServerNotReady(
                f"the server is {status.get('state')}: {status.get('message') or 'no reason given'}"
            )
        return status

    async def _answered(self, request: Any) -> Any:
        answer = asyncio.ensure_future(request)
        ended = asyncio.ensure_future(self.process.wait())
        await asyncio.wait({answer, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if answer.done() and answer.exception() is None:
            return answer.result()
        if not answer.done() or self.process.returncode is not None:
            answer.cancel()
            await self._read_last_words()
            ended_as = f"with exit code {self.process.returncode}"
            raise ServerDied(f"the server ended {ended_as}:\n" + "".join(self.stderr[-LAST_WORDS:]))
        return answer.result()

    async def _read_last_words(self) -> None:
        if self.reader is not None:
            await asyncio.wait({self.reader}, timeout=LAST_WORDS_PATIENCE_S)


@asynccontextmanager
async def editor_client(
    root: Path, options: dict[str, Any], command: Sequence[str] | None = None, cache_dir: Path | None = None
) -> AsyncIterator[EditorClient]:
    """Starts the server for the folder `root` with `options` as its settings; ends it cleanly.

    The server's XDG cache for indexes is `cache_dir` when given, so that a bench leaves none behind.
    """
    arguments = list(command or (sys.executable, "-I", "-m", "hef_lsp", "serve"))
    if cache_dir is not None:
        arguments += ["--cache-dir", str(cache_dir)]
    client = LanguageClient("hef-lsp-editor", __version__)
    _ignore_what_servers_say(client)
    await client.start_io(*arguments, cwd=str(root), env=dict(os.environ))
    process = client._server
    assert process is not None and process.stderr is not None
    editor = EditorClient(client, process)
    editor.reader = asyncio.create_task(_keep_lines(process.stderr, editor.stderr))
    try:
        await _initialize(editor, root, options)
        yield editor
        await editor._answered(client.shutdown_async(None))
        client.exit(None)
        await asyncio.wait_for(process.wait(), timeout=20)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        editor.reader.cancel()
        await client.stop()  # type: ignore[no-untyped-call]


async def _initialize(editor: EditorClient, root: Path, options: dict[str, Any]) -> None:
    folder = lsp.WorkspaceFolder(uri=root.as_uri(), name=root.name)
    capabilities = lsp.ClientCapabilities(
        text_document=lsp.TextDocumentClientCapabilities(
            inline_completion=lsp.InlineCompletionClientCapabilities(),
            completion=lsp.CompletionClientCapabilities(),
        ),
    )
    params = lsp.InitializeParams(
        capabilities=capabilities,
        process_id=os.getpid(),
        root_uri=root.as_uri(),
        workspace_folders=[folder],
        initialization_options=options,
    )
    await editor._answered(editor.client.initialize_async(params))
    editor.client.initialized(lsp.InitializedParams())


def _ignore_what_servers_say(client: LanguageClient) -> None:
    for method in (lsp.WINDOW_LOG_MESSAGE, lsp.WINDOW_SHOW_MESSAGE, "hef/status"):
        client.feature(method)(lambda _: None)


async def _keep_lines(stream: asyncio.StreamReader, lines: list[str]) -> None:
    async for line in stream:
        lines.append(line.decode("utf-8", "replace"))  # noqa: PERF401 - read while the server runs


def _plain(value: Any) -> Any:
    """JSON objects arrive as named tuples from the wire; back to dicts and lists."""
    if hasattr(value, "_asdict"):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

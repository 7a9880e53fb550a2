"""The language server: which method goes to which handler, and the loop that runs it.

Owns the composition. Handlers are in `hef_lsp.handlers`, the connection in `hef_lsp.protocol`, what is
known in `hef_lsp.session`. Importing this loads no model library.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from hef_lsp import __version__
from hef_lsp.client import Client
from hef_lsp.handlers import commands, completion, cursor, lifecycle, text_sync
from hef_lsp.lifetime import watch_parent
from hef_lsp.protocol import HefProtocol
from hef_lsp.session import LoadModels, Session
from hef_lsp.tcp_token import SHORTEST_TOKEN
from hef_lsp.transport import ByteStream, accept_one, claim_stdio, start_reader

SWITCH_INTERVAL_S = 0.0002
"""Beside a busy Python thread the loop waits for its turn 5 ms by default, 0.4 ms with this."""

MOST_UNSERVED = 64
"""Messages that were read and not served yet; the next ones wait in the pipe, where they hold no memory."""

FEATURES: tuple[tuple[str, Callable[..., Any], Any], ...] = (
    (lsp.INITIALIZE, lifecycle.initialize, None),
    (lsp.INITIALIZED, lifecycle.initialized, None),
    (lsp.SHUTDOWN, lifecycle.shutdown, None),
    (lsp.WORKSPACE_DID_CHANGE_CONFIGURATION, lifecycle.did_change_configuration, None),
    (lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, lifecycle.did_change_workspace_folders, None),
    (lsp.WINDOW_WORK_DONE_PROGRESS_CANCEL, lifecycle.cancel_progress, None),
    (lsp.TEXT_DOCUMENT_DID_OPEN, text_sync.did_open, None),
    (lsp.TEXT_DOCUMENT_DID_CHANGE, text_sync.did_change, None),
    (lsp.TEXT_DOCUMENT_DID_SAVE, text_sync.did_save, lsp.SaveOptions(include_text=False)),
    (lsp.TEXT_DOCUMENT_DID_CLOSE, text_sync.did_close, None),
    (lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, text_sync.did_change_watched_files, None),
    (cursor.CURSOR_MOVED, cursor.cursor_moved, None),
    # Without options pygls does not advertise it.
    (lsp.TEXT_DOCUMENT_INLINE_COMPLETION, completion.inline_completion, lsp.InlineCompletionOptions()),
    (
        lsp.TEXT_DOCUMENT_COMPLETION,
        completion.completion,
        lsp.CompletionOptions(trigger_characters=list(completion.TRIGGER_CHARACTERS)),
    ),
)

COMMANDS: dict[str, Callable[[Session, list[Any]], Any]] = {
    "hef.status": commands.status,
    "hef.reindex": commands.reindex,
    "hef.pause": commands.pause,
    "hef.explain": commands.explain,
    "hef.hierarchy": commands.hierarchy,
    "hef.setContext": commands.set_context,
}


class HefLanguageServer(LanguageServer):
    """pygls' server with our protocol; `session` holds everything known of the editor's workspace."""

    session: Session

    def __init__(self) -> None:
        super().__init__("hef-lsp", __version__, protocol_cls=HefProtocol)

    @property
    def connection(self) -> HefProtocol:
        return cast(HefProtocol, self.protocol)


def create_server(load_models: LoadModels, cache_dir: Path | None = None) -> HefLanguageServer:
    """A server that serves nobody yet.

    `load_models(settings, on_progress)` is called in the inference lane after `initialized`; indexes are
    kept below `cache_dir`, by default in the user's cache folder.
    """
    server = HefLanguageServer()
    server.connection.own_params[cursor.CURSOR_MOVED] = lsp.TextDocumentPositionParams
    session = server.session = Session(Client(server.connection), load_models, cache_dir)
    for method, handler, options in FEATURES:
        server.feature(method, options)(partial(handler, session))
    for name, command in COMMANDS.items():
        server.command(name)(partial(command, session))
    return server


def run_server(server: HefLanguageServer, tcp_port: int | None, token: str = "") -> int:
    """Serves one client on stdio, or on 127.0.0.1:`tcp_port`, until it leaves; returns the exit code.

    Any program on the machine can connect to a port, so there the client must show `token`.
    """
    if tcp_port is not None and len(token) < SHORTEST_TOKEN:
        raise ValueError(f"a port is served only with a token of at least {SHORTEST_TOKEN} characters")
    server.connection.token = token if tcp_port is not None else None
    logging.getLogger("pygls").setLevel(logging.WARNING)  # below it logs whole messages
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stream: ByteStream = claim_stdio() if tcp_port is None else accept_one(tcp_port)
    try:
        return asyncio.run(_serve(server, stream))
    except KeyboardInterrupt:
        return 1
    finally:
        server.session.close()


async def _serve(server: HefLanguageServer, stream: ByteStream) -> int:
    loop, connection = asyncio.get_running_loop(), server.connection
    ended = asyncio.Event()
    connection.stream, connection.on_ended = stream, ended.set

    def soon(call: Callable[..., None], *arguments: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call, *arguments)

    connection.on_parent = lambda process_id: watch_parent(process_id, lambda: soon(connection.end, 1))
    unserved = threading.Semaphore(MOST_UNSERVED)

    def serve(body: bytes) -> None:
        unserved.release()
        connection.receive(body)

    def serve_soon(body: bytes) -> None:
        unserved.acquire()
        soon(serve, body)

    start_reader(stream, serve_soon, partial(soon, connection.connection_lost))
    await ended.wait()
    server.session.stop_answering()
    assert connection.exit_code is not None, "a connection ends with an exit code"
    return connection.exit_code

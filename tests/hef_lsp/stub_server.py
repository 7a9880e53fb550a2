"""A language server that answers at once, by rote: what the client and the benches are tested with.

Run as a script. `initializationOptions.stub` chooses a misbehaviour: "error" never gets ready, "die"
leaves at the first inline completion.
"""

from __future__ import annotations

import os
import sys

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

server = LanguageServer("stub", "1")
state = {"n": 0, "explanation": None, "options": {}, "mode": ""}


@server.feature(lsp.INITIALIZED)
def initialized(_: lsp.InitializedParams) -> None:
    print("stub is here", file=sys.stderr, flush=True)


@server.feature(lsp.INITIALIZE)
def initialize(params: lsp.InitializeParams) -> None:
    state["options"] = params.initialization_options
    state["mode"] = params.initialization_options["context"]["mode"]


@server.feature(lsp.TEXT_DOCUMENT_INLINE_COMPLETION, lsp.InlineCompletionOptions())
def inline(params: lsp.InlineCompletionParams) -> lsp.InlineCompletionList:
    if state["options"].get("stub") == "die":
        print("the stub dies now", file=sys.stderr, flush=True)
        os._exit(3)
    state["n"] += 1
    if state["n"] % 4 == 0:  # refused: the explanation stays what it was
        return lsp.InlineCompletionList([])
    source = "exact" if state["n"] % 4 == 1 else "generated"
    line = server.workspace.get_text_document(params.text_document.uri).lines[params.position.line]
    timings = {"decode_ms": float(state["n"]), "total_ms": 2.0 * state["n"]}
    counts = {"n_prefilled": 5, "n_decoded": 5, "n_forwards": 2}
    state["explanation"] = {"source": source, "timings": timings, "mode": state["mode"], **counts}
    if line.rstrip().endswith("second_value("):
        return lsp.InlineCompletionList([lsp.InlineCompletionItem(insert_text="value)")])
    return lsp.InlineCompletionList([lsp.InlineCompletionItem(insert_text=f"<{line.rstrip()}>")])


@server.feature(lsp.TEXT_DOCUMENT_COMPLETION)
def complete(_: lsp.CompletionParams) -> lsp.CompletionList:
    return lsp.CompletionList(is_incomplete=True, items=[lsp.CompletionItem(label="entry")])


@server.command("hef.explain")
def explain(*_: object) -> object:
    return state["explanation"]


@server.command("hef.status")
def status(*_: object) -> object:
    if state["options"].get("stub") == "error":
        return {"state": "error", "message": "no model"}
    return {"state": "ready", "index": {"files": 1}, "stops_ms": [1.0, 3.0]}


@server.command("hef.reindex")
def reindex(*_: object) -> None:
    pass


if __name__ == "__main__":
    server.start_io()

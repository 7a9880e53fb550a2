"""`workspace/executeCommand`: status, index, explanation, tree and context mode, as plain JSON."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from typing import Any

from pygls.exceptions import JsonRpcInvalidParams

from hef_lsp.outline import outline
from hef_lsp.session import Session
from hef_lsp.settings import ContextMode
from hef_lsp.workspace import WorkspaceFolder

FIGURES = ("files", "chunks", "nodes", "embedded", "encoded", "fused", "pending", "generation")
BYTES = ("bytes_on_disk", "bytes_in_memory")


def status(session: Session, arguments: list[Any]) -> dict[str, Any]:
    """What goes on, with which model and context, and the indexes' figures summed over the folders."""
    folders = [folder.status() for folder in session.folders.values()]
    report = session.report()
    index = {name: sum(int(folder.get(name, 0)) for folder in folders) for name in FIGURES}
    index["bytes"] = sum(int(folder.get(name, 0)) for folder in folders for name in BYTES)
    return {
        **dataclasses.asdict(report),
        "model": session.models.generator.model_id if session.models else None,
        "context": _context(session),
        "notes": list(session.models.notes) if session.models else [],
        "stops_ms": [round(stop, 2) for stop in session.answering.stops_ms],
        "folders": folders,
        "index": index,
    }


def reindex(session: Session, arguments: list[Any]) -> None:
    for folder in session.folders.values():
        folder.reindex()
    session.status.changed()


def pause(session: Session, arguments: list[Any]) -> bool:
    """Whether the indexes stand still now; without an argument it changes over."""
    wanted = arguments[0] if arguments else not session.paused
    if not isinstance(wanted, bool):
        raise JsonRpcInvalidParams("hef.pause takes true (pause), false (go on), or nothing (change over)")
    session.pause(wanted)
    return wanted


def explain(session: Session, arguments: list[Any]) -> dict[str, Any] | None:
    """What stood behind the latest answer to a document, or to any."""
    uri = arguments[0] if arguments else None
    if uri is not None and not isinstance(uri, str):
        raise JsonRpcInvalidParams("hef.explain takes a document's URI, or nothing for the latest answer")
    engine = session.engine
    if engine is None:
        return None
    explanation = engine.last_explanation if uri is None else engine.explanation(uri)
    return None if explanation is None else dataclasses.asdict(explanation)


def set_context(session: Session, arguments: list[Any]) -> str:
    """The mode that holds now, until the server ends."""
    allowed = [str(mode) for mode in ContextMode]
    if not arguments or arguments[0] not in allowed:
        raise JsonRpcInvalidParams(f"hef.setContext takes one of {', '.join(allowed)}")
    before = session.settings
    session.configuration.set_context(ContextMode(arguments[0]))
    session.settings_changed(before)
    session.status.changed()
    return str(arguments[0])


def hierarchy(session: Session, arguments: list[Any]) -> Coroutine[Any, Any, list[dict[str, Any]]]:
    """The tree of each folder, open at the root and at the ids that are given; read beside the messages."""
    opened = arguments[0] if arguments else []
    if not isinstance(opened, list) or not all(isinstance(node_id, str) for node_id in opened):
        raise JsonRpcInvalidParams(
            "hef.hierarchy takes a list of ids of nodes, or nothing for the root alone"
        )
    folders = list(session.folders.values())
    return asyncio.to_thread(lambda: [_tree(folder, opened) for folder in folders])


def _tree(folder: WorkspaceFolder, opened: list[str]) -> dict[str, Any]:
    view = folder.view()
    pending = int(folder.status().get("pending", 0))
    if view is None:
        return {"root": str(folder.root), "generation": 0, "pending": pending, "tree": None}
    tree = dataclasses.asdict(outline(view, opened)) | {"name": folder.root.name}
    return {"root": str(folder.root), "generation": view.generation, "pending": pending, "tree": tree}


def _context(session: Session) -> str:
    mode = session.settings.context.mode
    if mode is ContextMode.AUTO and session.models is not None:
        return session.models.preferred_context
    return str(mode)

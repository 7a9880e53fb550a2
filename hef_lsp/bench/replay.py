"""Typing a passage as its author might have: key by key, taking what is offered where it is right.

Owns the replay and what is noted of each request. Passages come from `hef_lsp.bench.source_lines`, the
editor is `hef_lsp.lsp_client`; figures are made in `hef_lsp.bench.latency`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hef_lsp.bench.figures import Report
from hef_lsp.bench.source_lines import Passage
from hef_lsp.lsp_client import EditorClient
from hef_lsp.text_lines import indent_of

REFUSED = "refused"


@dataclass(frozen=True)
class Pace:
    """Between two keys pass `key_ms` at least, and `read_ms` until an offer is accepted.

    `open_s` seconds pass between opening a file and the first key in it.
    """

    key_ms: float = 120.0
    read_ms: float = 500.0
    open_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TypingPlan:
    """Which lines of `workspace` are typed, `n_lines` at a place, and with which server.

    `options` are its settings; `command` starts another server than our own.
    """

    workspace: Path
    n_lines: int = 3
    seed: int = 0
    pace: Pace = field(default_factory=Pace)
    options: dict[str, Any] = field(default_factory=dict)
    command: Sequence[str] | None = None
    patience_s: float = 3600.0

    def named(self) -> Report:
        """What a report says of it."""
        return {
            "workspace": self.workspace.name,
            "seed": self.seed,
            "lines_a_passage": self.n_lines,
            "pace": asdict(self.pace),
            "settings": self.options,
        }


@dataclass(frozen=True)
class Reply:
    """One request: time from didChange to the answer, where the answer came from, and its figures."""

    elapsed_ms: float
    source: str
    shown: bool
    stages_ms: dict[str, float] = field(default_factory=dict)
    n_prefilled: int = 0
    n_decoded: int = 0
    n_forwards: int = 0


@dataclass
class Replay:
    """What came of typing: `n_accepted` of the characters were not typed but taken from an offer."""

    replies: list[Reply] = field(default_factory=list)
    n_characters: int = 0
    n_accepted: int = 0


async def type_passage(editor: EditorClient, passage: Passage, pace: Pace, replay: Replay) -> None:
    """Types all lines into the file around them, asking after every change as an editor does."""
    indent = indent_of(passage.lines[0])
    uri = editor.open(passage.path, passage.before + indent + passage.after, passage.language)
    try:
        await asyncio.sleep(pace.open_s)
        explained = await editor.command("hef.explain")
        desk = _Desk(editor, uri, passage.first_line, indent, pace, replay, explained)
        for number, line in enumerate(passage.lines):
            if number:
                await desk.break_line(indent_of(line))
            await desk.type_line(line)
    finally:
        editor.close(uri)


@dataclass
class _Desk:
    """The cursor: `typed` stands before it on its line."""

    editor: EditorClient
    uri: str
    line: int
    typed: str
    pace: Pace
    replay: Replay
    explained: Any

    async def type_line(self, line: str) -> None:
        """Up to the line's end; what is offered is taken where it is the whole rest of the line."""
        offered: list[str] = []
        while len(self.typed) < len(line):
            rest = line[len(self.typed) :]
            if any(offer.partition("\n")[0] == rest for offer in offered[:1]):
                await asyncio.sleep(self.pace.read_ms / 1000)
                self.replay.n_accepted += len(rest)
                key = rest
            else:
                key = rest[0]
            self.replay.n_characters += len(key)
            offered = await self._insert(key)

    async def break_line(self, indent: str) -> None:
        """A new line, indented as the editor would."""
        place, self.line = utf16_length(self.typed), self.line + 1
        self.editor.insert(self.uri, self.line - 1, place, "\n" + indent)
        self.typed = indent
        await self._ask(time.perf_counter())

    async def _insert(self, key: str) -> list[str]:
        began_s = time.perf_counter()
        self.editor.insert(self.uri, self.line, utf16_length(self.typed), key)
        self.typed += key
        return await self._ask(began_s)

    async def _ask(self, began_s: float) -> list[str]:
        offers = await self.editor.inline_complete(
            self.uri, self.line, utf16_length(self.typed), invoked=False
        )
        elapsed_ms = (time.perf_counter() - began_s) * 1000
        before, self.explained = self.explained, await self.editor.command("hef.explain")
        self.replay.replies.append(reply_of(elapsed_ms, bool(offers), before, self.explained))
        await asyncio.sleep(max(0.0, self.pace.key_ms / 1000 - (time.perf_counter() - began_s)))
        return offers


def reply_of(elapsed_ms: float, shown: bool, before: Any, after: Any) -> Reply:
    """The same explanation as before, to the last digit of its timings, means that none was made."""
    if not isinstance(after, dict) or after == before:
        return Reply(elapsed_ms, REFUSED, shown)
    counts = {name: int(after.get(name) or 0) for name in ("n_prefilled", "n_decoded", "n_forwards")}
    return Reply(elapsed_ms, str(after.get("source")), shown, dict(after.get("timings") or {}), **counts)


def utf16_length(text: str) -> int:
    """In the protocol's units of an editor that says nothing else."""
    return len(text.encode("utf-16-le")) // 2


async def measure_stops(editor: EditorClient, passage: Passage, n_stops: int, pace: Pace) -> list[float]:
    """How long the server works on after a request is withdrawn by the next key, in milliseconds each.

    A block is asked for, and while it is worked on a key follows, each time somewhat later.
    """
    before = passage.before + passage.lines[0]
    uri = editor.open(passage.path, before + passage.after, passage.language)
    line, place = passage.first_line, utf16_length(passage.lines[0])
    try:
        for number in range(n_stops):
            asked = asyncio.ensure_future(editor.inline_complete(uri, line, place))
            await asyncio.sleep((0.05 + 0.03 * number) % 0.4)
            editor.insert(uri, line, place, "x")
            place += 1
            await asked
            await asyncio.sleep(pace.key_ms / 1000)
        status = await editor.command("hef.status")
    finally:
        editor.close(uri)
    return [float(stop) for stop in status.get("stops_ms") or ()]

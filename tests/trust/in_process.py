"""The server without a process: messages in as bytes, answers counted; and inputs made of fuzzed bytes.

Owns what must hold for every input: nothing is raised, each request is answered exactly once. Folders
are never read here: a fuzzed URI may name the root of the disk.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from fakes import FakeGenerator, fake_bundle

from hef_lsp.server import COMMANDS, FEATURES, create_server
from hef_lsp.transport import BrokenFrame, FrameBuffer

PATIENCE_S = 30.0
URI = "file:///no/such/place/a.py"
METHODS = (
    *(method for method, _, _ in FEATURES if method not in ("shutdown", "initialize")),
    *(
        "workspace/executeCommand",
        "$/setTrace",
        "$/cancelRequest",
        "textDocument/hover",
        "no/such",
        "",
        "$/x",
    ),
)
WORDS: tuple[Any, ...] = (
    *("textDocument", "uri", "position", "line", "character", "context", "triggerKind", "contentChanges"),
    *(
        "range",
        "start",
        "end",
        "text",
        "version",
        "languageId",
        "settings",
        "hef",
        "completion",
        "model",
        "index",
    ),
    *("event", "added", "removed", "changes", "type", "command", "arguments", "id", "token", "value", "name"),
    *("selectedCompletionInfo", "rangeLength", "enabled", "debounceMs", "maxTokens", "mode", "dense", "text"),
    *(
        URI,
        "file:///%ff%00",
        "untitled:1",
        "http://x/",
        "file://host/share/a.py",
        "\ud800",
        "x" * 5000,
        "",
        "\0",
    ),
    *(0, 1, -1, 2, 3, 2**31, 2**63, 10**30, 0.5, 1e308, True, False, None, *COMMANDS),
)


class InProcess:
    """One initialized server with fake models."""

    def __init__(self, cache_dir: Path) -> None:
        self.answers: Counter[Any] = Counter()
        self._frames = FrameBuffer()
        self._n_sent = 0
        self.loop = asyncio.new_event_loop()
        self._folder = mock.patch("hef_lsp.session.WorkspaceFolder.attach_models", lambda *_: None)
        self._watch = mock.patch("hef_lsp.session.WorkspaceFolder.watch", lambda *_: None)
        self._folder.start()
        self._watch.start()
        generator = FakeGenerator(["return total\n"])
        self.server = create_server(lambda *_: fake_bundle(generator=generator), cache_dir)  # type: ignore[arg-type, return-value]
        self.server.connection.stream = self
        self.run(self._begin())

    async def _begin(self) -> None:
        options = {"completion": {"debounce_ms": 0}}
        begun = {"capabilities": {}, "processId": None, "rootUri": None, "initializationOptions": options}
        self.request("initialize", begun)
        self.receive({"method": "initialized", "params": {}})
        while self.server.session.engine is None:
            await asyncio.sleep(0.01)

    # The client's end of `hef_lsp.transport.ByteStream`.

    def read(self) -> bytes:
        return b""

    def write(self, data: bytes) -> None:
        for body in self._frames.feed(data):
            message = json.loads(body)
            if "method" not in message:
                self.answers[message["id"]] += 1

    def close(self) -> None:
        """Ends the server."""
        self.server.session.close()
        self.run(asyncio.sleep(0))
        self.loop.close()
        self._folder.stop()
        self._watch.stop()

    # Messages.

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def receive(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.server.connection.receive(body)

    def request(self, method: str, params: Any) -> int:
        self._n_sent += 1
        self.receive({"id": self._n_sent, "method": method, "params": params})
        return self._n_sent

    async def rest(self) -> None:
        """Until every request has its answer."""
        running = self.server.connection._running
        if running:
            await asyncio.wait(list(running.values()), timeout=PATIENCE_S)
            await asyncio.sleep(0)
        assert not running, f"no answer to {list(running)}"

    async def check(self, numbers: Sequence[int]) -> None:
        await self.rest()
        wrong = {number: self.answers[number] for number in numbers if self.answers[number] != 1}
        assert not wrong, f"requests with another number of answers than one: {wrong}"
        self.answers.clear()

    def one_input(self, data: bytes) -> int:
        """Serves what `data` says; returns how many requests that were."""
        choose = Choice(data)
        if choose.number(4) == 0:
            _cut(choose)
            return 0
        if choose.number(4) == 0:
            self.run(self._raw(choose.rest()))
            return 0
        return int(self.run(self._messages(choose)))

    async def _messages(self, choose: Choice) -> int:
        numbers: list[int] = []
        if choose.number(4):
            item = {
                "uri": URI,
                "languageId": "python",
                "version": 1,
                "text": "def f(x):\n    total = x\n    \n",
            }
            self.receive({"method": "textDocument/didOpen", "params": {"textDocument": item}})
        for _ in range(1 + choose.number(6)):
            method, params = METHODS[choose.number(len(METHODS))], likely_params(choose)
            if choose.number(3):
                numbers.append(self.request(method, params))
            else:
                self.receive({"method": method, "params": params})
        await self.check(numbers)
        return len(numbers)

    async def _raw(self, body: bytes) -> None:
        self.server.connection.receive(body)
        await self.rest()
        self.answers.clear()


class Choice:
    """Numbers from bytes; past their end all are 0."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, below: int) -> int:
        part = self._data[self._at : self._at + 1] or b"\0"
        self._at += 1
        return part[0] % below

    def rest(self) -> bytes:
        return self._data[self._at :]


def likely_params(choose: Choice) -> Any:
    """Often what a client sends, with one thing changed; else any JSON."""
    position = {"line": choose.number(4), "character": choose.number(30)}
    document = {"uri": URI, "version": choose.number(9), "languageId": "python", "text": "def f(x):\n    \n"}
    span = {"start": position, "end": {"line": choose.number(4), "character": choose.number(30)}}
    whole: dict[str, Any] = {
        "textDocument": document,
        "position": position,
        "context": {"triggerKind": choose.number(4)},
        "contentChanges": [{"range": span, "text": "abc\r\n"[: choose.number(6)]}],
        "changes": [{"uri": URI, "type": 1 + choose.number(3)}],
        "event": {"added": [], "removed": [{"uri": "file:///no/such/place", "name": "x"}]},
        "settings": {"hef": {"completion": {"max_tokens": choose.number(99)}}},
        "command": list(COMMANDS)[choose.number(len(COMMANDS))],
        "arguments": [],
        "id": choose.number(200),
        "value": "off",
        "token": "t",
    }
    kind = choose.number(4)
    if kind == 0:
        return _json(choose, 4)
    if kind == 1:
        names = list(whole)
        whole[names[choose.number(len(names))]] = _json(choose, 3)
    elif kind == 2:
        inner = document if choose.number(2) else position
        names = list(inner)
        inner[names[choose.number(len(names))]] = _json(choose, 2)  # type: ignore[assignment]
    return whole


def _json(choose: Choice, depth: int) -> Any:
    kind = choose.number(4)
    if depth and kind == 0:
        names = [str(WORDS[choose.number(len(WORDS))]) for _ in range(choose.number(5))]
        return {name: _json(choose, depth - 1) for name in names}
    if depth and kind == 1:
        return [_json(choose, depth - 1) for _ in range(choose.number(5))]
    return WORDS[choose.number(len(WORDS))]


def _cut(choose: Choice) -> None:
    """Any bytes in any pieces: messages, or the stream is given up; no more is held than came."""
    frames, size = FrameBuffer(), 1 + choose.number(64)
    data = choose.rest()
    if choose.number(2):
        data = b"Content-Length: %d\r\n\r\n" % choose.number(80) + data
    try:
        for start in range(0, len(data), size):
            frames.feed(data[start : start + size])
    except BrokenFrame:
        return
    assert len(frames._bytes) <= len(data)

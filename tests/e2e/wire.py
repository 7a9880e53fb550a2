"""A client at the level of the wire: it sends what it is told, also what no library would, and keeps all."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

STUB = Path(__file__).with_name("stub_server.py")
WAIT_S = 40.0


class RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Wire:
    """One server process. `answers` counts the responses to each id; `heard` are its notifications."""

    def __init__(self, command: Sequence[str], cwd: Path, stderr: Path) -> None:
        self._stderr_path = stderr
        with stderr.open("wb") as sink:
            self.process = subprocess.Popen(
                list(command), cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink
            )
        self.answers: Counter[int | str | None] = Counter()
        self.heard: list[tuple[str, Any]] = []
        self.asked: list[tuple[str, Any]] = []
        self.reply: dict[str, Callable[[Any], Any]] = {}
        self.broken: list[bytes] = []
        self.encoding = "utf-16"
        self.versions: dict[str, int] = {}
        self._waiting: dict[int | str | None, queue.Queue[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._heard_more = threading.Condition()
        self._n_sent = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def stderr(self) -> str:
        return self._stderr_path.read_text(encoding="utf-8", errors="replace")

    # Messages.

    def send_bytes(self, body: bytes) -> None:
        assert self.process.stdin is not None
        with self._lock:
            self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self.process.stdin.flush()

    def send(self, message: dict[str, Any]) -> None:
        self.send_bytes(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"method": method, **({} if params is None else {"params": params})})

    def begin(self, method: str, params: Any = None) -> int:
        """Sends a request; its id is for `result`."""
        self._n_sent += 1
        number = self._n_sent
        self._waiting[number] = queue.Queue()
        self.send({"id": number, "method": method, **({} if params is None else {"params": params})})
        return number

    def result(self, number: int | None, timeout: float = WAIT_S) -> Any:
        try:
            message = self._waiting.setdefault(number, queue.Queue()).get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no answer to {number} in {timeout} s; stderr:\n{self.stderr}") from None
        if "error" in message:
            raise RpcError(message["error"]["code"], message["error"]["message"])
        return message["result"]

    def request(self, method: str, params: Any = None, timeout: float = WAIT_S) -> Any:
        return self.result(self.begin(method, params), timeout)

    def error_code(self, number: int | None) -> int:
        try:
            value = self.result(number)
        except RpcError as error:
            return error.code
        raise AssertionError(f"an answer instead of an error: {value!r}")

    def wait_for(self, method: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first notification or request of the server that is wanted."""
        deadline = time.monotonic() + WAIT_S
        with self._heard_more:
            while True:
                for name, params in (*self.heard, *self.asked):
                    if name == method and wanted(params):
                        return params
                left = deadline - time.monotonic()
                assert left > 0, f"no {method} in {WAIT_S} s; heard {self.heard}; stderr:\n{self.stderr}"
                self._heard_more.wait(left)

    # An editor's ways.

    def initialize(
        self,
        roots: Sequence[Path] = (),
        options: Any = None,
        capabilities: dict[str, Any] | None = None,
        process_id: int | None = None,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self.request(
            "initialize",
            {
                "processId": process_id,
                "rootUri": None,
                "capabilities": capabilities or {},
                "initializationOptions": options,
                "workspaceFolders": [{"uri": root.as_uri(), "name": root.name} for root in roots],
            },
        )
        self.encoding = answer["capabilities"]["positionEncoding"]
        self.notify("initialized", {})
        return answer

    def open(self, uri: str, text: str, language: str = "python") -> str:
        self.versions[uri] = 1
        item = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    def change(self, uri: str, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        self.versions[uri] += 1
        edit = {"range": {"start": position(*start), "end": position(*end)}, "text": text}
        document = {"uri": uri, "version": self.versions[uri]}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [edit]})

    def begin_inline(self, uri: str, line: int, character: int, invoked: bool = True) -> int:
        place = {"textDocument": {"uri": uri}, "position": position(line, character)}
        context = {"triggerKind": 1 if invoked else 2}
        return self.begin("textDocument/inlineCompletion", {**place, "context": context})

    def inline(self, uri: str, line: int, character: int, invoked: bool = True) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.result(self.begin_inline(uri, line, character, invoked))["items"]
        return items

    def list(self, uri: str, line: int, character: int) -> dict[str, Any]:
        place = {"textDocument": {"uri": uri}, "position": position(line, character)}
        answer: dict[str, Any] = self.request("textDocument/completion", place)
        return answer

    def command(self, name: str, *arguments: Any) -> Any:
        return self.request("workspace/executeCommand", {"command": name, "arguments": list(arguments)})

    def settle(self, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The status once models and indexes have nothing left to do."""
        deadline = time.monotonic() + WAIT_S
        while True:
            status: dict[str, Any] = self.command("hef.status")
            if status["state"] in ("ready", "error", "paused") and wanted(status):
                return status
            assert time.monotonic() < deadline, f"not settled: {status}\n{self.stderr}"
            time.sleep(0.02)

    def leave(self) -> int:
        self.request("shutdown")
        self.notify("exit")
        return self.process.wait(WAIT_S)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            header = stream.readline()
            if not header:
                return
            if not header.lower().startswith(b"content-length:"):
                self.broken.append(header)
                continue
            n_bytes = int(header.split(b":")[1])
            while stream.readline().strip():
                pass
            self._take(json.loads(stream.read(n_bytes)))

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self.answers[message["id"]] += 1
            self._waiting.setdefault(message["id"], queue.Queue()).put(message)
            return
        method, params = message["method"], message.get("params")
        with self._heard_more:
            (self.asked if "id" in message else self.heard).append((method, params))
            self._heard_more.notify_all()
        if "id" in message and method in self.reply:
            self.send({"id": message["id"], "result": self.reply[method](params)})


def position(line: int, character: int) -> dict[str, int]:
    return {"line": line, "character": character}


def units(text: str, encoding: str) -> int:
    """How long a client that counts in `encoding` holds `text` to be."""
    if encoding == "utf-32":
        return len(text)
    return len(text.encode(encoding + ("-le" if encoding == "utf-16" else ""))) // (
        2 if encoding == "utf-16" else 1
    )


def stub_command(cache_dir: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-I", str(STUB), "--cache-dir", str(cache_dir), *arguments]


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True

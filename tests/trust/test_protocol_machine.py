"""A client that does anything, in any order, to the real server: it lives, and answers each request once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from tally import FULL, Row, count
from wire import WAIT_S, RpcError, Wire, position, stub_command

N_EXAMPLES, N_STEPS = (400, 60) if FULL else (8, 40)
N_BURST = 1_000
FOLDERS = ["second", "no-such", "second/.."]
NAMES = st.sampled_from(["a.py", "pkg/b.py", "c%20d.py", "é.py", "%F0%9F%98%80.py", "no/such/folder/x.py"])
TEXTS = st.text(st.sampled_from("ab (:=.\n\r\t😀é\u2028\0\ufeff"), max_size=60)
NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 80, -1, 2**31, 10**15])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
METHODS = st.sampled_from(
    [
        *("textDocument/completion", "textDocument/inlineCompletion", "textDocument/didChange"),
        *("workspace/executeCommand", "workspace/didChangeConfiguration", "workspace/didChangeWatchedFiles"),
        *("textDocument/didOpen", "workspace/didChangeWorkspaceFolders", "textDocument/hover", "initialize"),
        *("$/cancelRequest", "no/such"),
    ]
)
COMMANDS = st.sampled_from(
    ["hef.status", "hef.explain", "hef.hierarchy", "hef.setContext", "hef.pause", "hef.reindex", "no.such"]
)
SETTINGS = st.sampled_from(
    [
        {"completion": {"debounceMs": 0}},
        {"completion": {"enabled": False}},
        {"completion": {"enabled": True, "debounceMs": 5}},
        {"index": {"fuse": False}},
        {"index": {"enabled": False}},
        {"index": {"maxFiles": 3}},
        {"context": {"mode": "none"}},
        {"model": {"threads": 1}},
        {"nonsense": 1, "index": 7},
        [],
        None,
    ]
)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    root = tmp_path / "root"
    (root / "pkg").mkdir(parents=True)
    (root / "a.py").write_text("def add(left, right):\n    return left + right\n")
    (tmp_path / "second").mkdir()
    started = Wire(stub_command(tmp_path / "cache", "--delay", "0.002"), tmp_path, tmp_path / "stderr.txt")
    started.initialize([root], options={"completion": {"debounce_ms": 0}})
    started.settle()
    yield started
    started.kill()


def machine(wire: Wire, base: Path) -> type[RuleBasedStateMachine]:
    """A machine that goes on with the same server, whatever earlier runs did to it."""

    class Client(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.sent: list[int] = []
            self.opened: set[str] = set()

        def uri(self, name: str) -> str:
            return (base / "root").as_uri() + "/" + name

        def ask(self, method: str, params: Any) -> None:
            self.sent.append(wire.begin(method, params))

        @rule(name=NAMES, text=TEXTS)
        def open(self, name: str, text: str) -> None:
            wire.open(self.uri(name), text)
            self.opened.add(name)

        @rule(name=NAMES, numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), text=TEXTS)
        def change(self, name: str, numbers: tuple[int, int, int, int], text: str) -> None:
            wire.versions.setdefault(self.uri(name), 0)
            wire.change(self.uri(name), numbers[:2], numbers[2:], text)

        @rule(name=NAMES)
        def close(self, name: str) -> None:
            wire.notify("textDocument/didClose", {"textDocument": {"uri": self.uri(name)}})

        @rule(name=NAMES)
        def save(self, name: str) -> None:
            wire.notify("textDocument/didSave", {"textDocument": {"uri": self.uri(name)}})

        @rule(name=NAMES, line=NUMBERS, character=NUMBERS, inline=st.booleans(), kind=st.sampled_from([1, 2]))
        def complete(self, name: str, line: int, character: int, inline: bool, kind: int) -> None:
            place = {"textDocument": {"uri": self.uri(name)}, "position": position(line, character)}
            method = "textDocument/inlineCompletion" if inline else "textDocument/completion"
            self.ask(method, {**place, "context": {"triggerKind": kind}})

        @rule(which=st.integers(0, 9))
        def cancel(self, which: int) -> None:
            number = self.sent[-1 - which] if len(self.sent) > which else 10**9 + which
            wire.notify("$/cancelRequest", {"id": number})

        @rule(name=COMMANDS, arguments=st.lists(JSON, max_size=2))
        def command(self, name: str, arguments: list[Any]) -> None:
            self.ask("workspace/executeCommand", {"command": name, "arguments": arguments})

        @rule(chosen=SETTINGS)
        def configure(self, chosen: Any) -> None:
            wire.notify("workspace/didChangeConfiguration", {"settings": {"hef": chosen}})

        @rule(added=st.booleans(), name=st.sampled_from(FOLDERS))
        def folders(self, added: bool, name: str) -> None:
            folder = {"uri": (base / name).as_uri(), "name": name}
            event = {"added": [folder] if added else [], "removed": [] if added else [folder]}
            wire.notify("workspace/didChangeWorkspaceFolders", {"event": event})

        @rule(name=NAMES, kind=st.sampled_from([0, 1, 2, 3, 4]))
        def watched(self, name: str, kind: int) -> None:
            change = {"uri": self.uri(name), "type": kind}
            wire.notify("workspace/didChangeWatchedFiles", {"changes": [change]})

        @rule(method=METHODS, params=JSON, is_request=st.booleans())
        def anything(self, method: str, params: Any, is_request: bool) -> None:
            if is_request:
                self.ask(method, params)
            else:
                wire.notify(method, params)

        @rule(body=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
        def no_message(self, body: bytes) -> None:
            wire.send_bytes(body)

        def teardown(self) -> None:
            for number in getattr(self, "sent", []):
                answered(wire, number)
            count(Row.REQUESTS_SENT, len(self.sent))
            assert all(wire.answers[number] == 1 for number in self.sent)
            count(Row.REQUESTS_ANSWERED, len(self.sent))
            assert wire.command("hef.status")["state"]

    return Client


def answered(wire: Wire, number: int) -> Any:
    """The answer, be it an error."""
    try:
        return wire.result(number)
    except RpcError as error:
        return error


def test_any_client_is_answered_once(wire: Wire, tmp_path: Path) -> None:
    every_check = list(HealthCheck)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine(wire, tmp_path),
        settings=settings(
            max_examples=N_EXAMPLES,
            stateful_step_count=N_STEPS,
            deadline=None,
            suppress_health_check=every_check,
            database=None,
        ),
    )
    assert not wire.broken, "bytes on stdout that are no message"
    wire.notify("workspace/didChangeConfiguration", {"settings": {"hef": {"completion": {"enabled": True}}}})
    added = [{"uri": (tmp_path / name).as_uri(), "name": name} for name in FOLDERS]
    wire.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": added}})
    wire.command("hef.pause", False)
    wire.settle(lambda status: status["state"] == "ready")
    assert wire.leave() == 0


@pytest.mark.parametrize("n_documents", [1, N_BURST])
def test_a_burst_is_shed_and_each_request_answered(n_documents: int, wire: Wire, tmp_path: Path) -> None:
    """Latest wins for a document, the newest few over all of them; what was withdrawn keeps no text alive."""
    text = "def f(x):\n    \n" + "# a line that fills the document\n" * 6_000
    uris = [f"untitled:{number}.py" for number in range(n_documents)]
    for uri in uris:
        wire.open(uri, text if n_documents == 1 else text[:2_000])
    server = psutil.Process(wire.process.pid)
    wire.command("hef.status")
    before = server.memory_info().rss
    sent: list[int] = []
    for number in range(N_BURST):
        uri = uris[number % n_documents]
        if n_documents == 1:
            wire.change(uri, (1, 4), (1, 4), "x")
        sent.append(wire.begin_inline(uri, 1, 4))
    answers = [answered(wire, number) for number in sent]
    count(Row.REQUESTS_SENT, len(sent))
    assert all(wire.answers[number] == 1 for number in sent)
    count(Row.REQUESTS_ANSWERED, len(sent))
    assert answers[-1]["items"], "the latest request is the one that is worked on"
    assert server.memory_info().rss - before < 150 << 20


HEADERS: dict[str, Callable[[], bytes]] = {
    "ten gigabytes": lambda: b"Content-Length: 10000000000\r\n\r\n{",
    "more digits than a number has": lambda: b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n{",
    "no length": lambda: b"Content-Type: x\r\n\r\n{}",
    "a negative length": lambda: b"Content-Length: -5\r\n\r\n{}",
    "no header at all": lambda: b"x" * 100_000,
    "zeros": lambda: bytes(100_000),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_stream_that_cannot_be_cut_ends_the_server_in_order(kind: str, wire: Wire) -> None:
    """Going on would mean to guess where a message begins, and source code could say so."""
    count(Row.INPUTS_FUZZED)
    assert wire.process.stdin is not None
    wire.process.stdin.write(HEADERS[kind]())
    wire.process.stdin.flush()
    assert wire.process.wait(WAIT_S) == 1
    assert "the client's stream ended" in wire.stderr and "Traceback" not in wire.stderr


def test_half_a_message_is_waited_for(wire: Wire) -> None:
    assert wire.process.stdin is not None
    body = json.dumps({"jsonrpc": "2.0", "id": 77, "method": "no/such"}).encode()
    for piece in (
        b"Content-Le",
        b"ngth: %d\r\nContent-Type: x\r" % len(body),
        b"\n\r\n" + body[:9],
        body[9:],
    ):
        wire.process.stdin.write(piece)
        wire.process.stdin.flush()
    assert wire.error_code(77) == -32601

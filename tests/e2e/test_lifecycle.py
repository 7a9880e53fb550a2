"""From the first byte to the exit code: what pygls gets wrong, one test each."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Start
from wire import WAIT_S, RpcError, Wire, is_alive, position, stub_command

INLINE = "textDocument/inlineCompletion"


def test_order_of_messages_decides_the_error(start: Start, root: Path) -> None:
    wire = start()
    assert wire.error_code(wire.begin("textDocument/completion", {})) == -32002
    wire.notify("textDocument/didOpen", {"textDocument": {}})  # dropped: not initialized
    wire.initialize([root])
    assert wire.error_code(wire.begin("initialize", {"processId": None, "capabilities": {}})) == -32600
    wire.request("shutdown")
    assert wire.error_code(wire.begin("hef/anything")) == -32600
    assert wire.error_code(wire.begin("shutdown")) == -32600
    wire.notify("exit")
    assert wire.process.wait(WAIT_S) == 0
    assert all(count == 1 for count in wire.answers.values())


def test_bad_requests_are_answered(start: Start, root: Path) -> None:
    wire = start()
    wire.initialize([root])
    uri = wire.open((root / "a.py").as_uri(), "x = 1\n")
    place = {"textDocument": {"uri": uri}, "position": position(0, 1), "context": {"triggerKind": 1}}
    assert wire.error_code(wire.begin(INLINE, {"textDocument": 7})) == -32602
    assert wire.error_code(wire.begin(INLINE)) == -32602
    negative = {**place, "position": position(-1, 0)}
    assert wire.error_code(wire.begin(INLINE, negative)) == -32602
    assert wire.error_code(wire.begin("textDocument/hover", {})) == -32601
    assert wire.error_code(wire.begin("$/unknown", [1])) == -32601
    assert wire.error_code(wire.begin("workspace/executeCommand", {"command": "rm"})) == -32602
    assert wire.error_code(wire.begin("workspace/executeCommand", {"command": 3})) == -32602
    wire.send_bytes(b'{"jsonrpc": ')
    assert wire.error_code(None) == -32700
    wire.send_bytes(b"[]")
    assert wire.error_code(None) == -32600
    wire.send({"id": None, "method": "shutdown"})
    assert wire.error_code(None) == -32600
    # An object that looks like a message, inside of one, is data.
    inner = {**place, "jsonrpc": "2.0", "id": 3, "method": "exit"}
    assert "items" in wire.request(INLINE, inner)  # empty until the models are loaded
    assert wire.request(INLINE, {**place, "textDocument": {"uri": "file:///not/open"}})["items"] == []
    assert wire.leave() == 0


def test_exit_without_shutdown_is_a_failure(start: Start, root: Path) -> None:
    wire = start()
    wire.initialize([root])
    wire.notify("exit")
    assert wire.process.wait(WAIT_S) == 1


def test_exit_before_initialize_and_a_closed_pipe_end_the_process(start: Start) -> None:
    first, second = start(), start()
    first.notify("exit")
    assert first.process.wait(WAIT_S) == 1
    assert second.process.stdin is not None
    second.process.stdin.close()
    assert second.process.wait(WAIT_S) == 1


def test_exit_while_a_completion_runs_ends_at_once(start: Start, root: Path) -> None:
    wire = start("--delay", "0.05", "--script", "a " * 200)
    wire.initialize([root])
    wire.settle()
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    running = wire.begin_inline(uri, 0, 4)
    time.sleep(0.2)
    began = time.monotonic()
    wire.request("shutdown")
    assert wire.error_code(running) == -32800
    wire.notify("exit")
    assert wire.process.wait(WAIT_S) == 0
    assert time.monotonic() - began < 3


def test_initialize_answers_at_once_and_without_torch(start: Start, root: Path) -> None:
    wire = start("--load-delay", "2")
    answer = wire.initialize([root])
    capabilities = answer["capabilities"]
    assert capabilities["inlineCompletionProvider"] == {}
    assert capabilities["textDocumentSync"]["change"] == 2
    assert capabilities["workspace"]["workspaceFolders"]["changeNotifications"] is True
    assert "hef.status" in capabilities["executeCommandProvider"]["commands"]
    assert "notebookDocumentSync" not in capabilities
    uri = wire.open((root / "a.py").as_uri(), "total = 1\n")
    assert wire.inline(uri, 1, 0) == []  # the models load still
    assert wire.command("hef.status")["state"] == "loading the models"
    wire.settle()
    assert wire.inline(uri, 1, 0)
    assert wire.command("stub.tokens")["torch"] is False


def test_stdout_is_the_protocol_alone(start: Start, root: Path) -> None:
    wire = start()
    wire.initialize([root])
    wire.settle()
    assert wire.leave() == 0
    assert wire.broken == []
    assert "a library prints" in wire.stderr


def test_message_bodies_are_not_logged_at_info(start: Start, root: Path) -> None:
    wire = start("--log-level", "info", "--script", "secret_answer()")
    wire.initialize([root])
    wire.settle()
    uri = wire.open((root / "a.py").as_uri(), "secret_source = ")
    assert wire.inline(uri, 0, 16)
    wire.error_code(wire.begin(INLINE, {"secret_params": 1}))
    wire.notify("textDocument/didChange", {"secret_params": 1})
    assert wire.leave() == 0
    assert "secret" not in wire.stderr
    assert "invalid params" in wire.stderr  # so the level was in force


PARENT = """
import json, subprocess, sys, os, time
server = subprocess.Popen(json.loads(sys.argv[1]), stdin=int(sys.argv[2]), stdout=subprocess.DEVNULL)
print(server.pid, flush=True)
time.sleep(60)
"""


def test_server_leaves_with_its_parent(tmp_path: Path, root: Path) -> None:
    """The pipe to the server stays open: only `processId` tells."""
    read_end, write_end = os.pipe()
    command = json.dumps(stub_command(tmp_path / "cache"))
    parent = subprocess.Popen(
        [sys.executable, "-I", "-c", PARENT, command, str(read_end)],
        stdout=subprocess.PIPE,
        pass_fds=[read_end],
        text=True,
    )
    try:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        params = {"processId": parent.pid, "capabilities": {}, "rootUri": root.as_uri()}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
        os.write(write_end, b"Content-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(1.5)
        assert is_alive(server)
        parent.kill()
        parent.wait()
        began = time.monotonic()
        while is_alive(server) and not _is_zombie(server):
            assert time.monotonic() - began < 20, "the server outlived its parent"
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout is not None:
            parent.stdout.close()
        os.close(read_end)
        os.close(write_end)
        if is_alive(server):
            os.kill(server, signal.SIGKILL)


def _is_zombie(process_id: int) -> bool:
    state = Path(f"/proc/{process_id}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_hostile_workspace_cannot_shadow_the_packages(tmp_path: Path) -> None:
    """`python -I -m hef_lsp serve` in a folder whose names are ours."""
    hostile = tmp_path / "hostile"
    (hostile / "indexer").mkdir(parents=True)
    bomb = "raise SystemExit('the workspace was imported')\n"
    for name in ("model.py", "torch.py", "pygls.py", "hef_lsp.py", "indexer/__init__.py"):
        (hostile / name).write_text(bomb, encoding="utf-8")
    command = [sys.executable, "-I", "-m", "hef_lsp", "serve", "--cache-dir", str(tmp_path / "cache")]
    wire = Wire(command, hostile, tmp_path / "stderr.txt")
    try:
        # No folder and no `initialized`: nothing is indexed and no model is loaded.
        answer = wire.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}}, 30)
        assert answer["serverInfo"]["name"] == "hef-lsp"
        assert wire.leave() == 0
    finally:
        wire.kill()
    assert "imported" not in wire.stderr


def test_models_that_fail_are_said_once_and_completions_stay_empty(start: Start, root: Path) -> None:
    wire = start("--fail")
    wire.initialize([root])
    status = wire.settle()
    assert (status["state"], status["message"]) == ("error", "no such model; run `hef-lsp model list`")
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    assert wire.inline(uri, 0, 4) == []
    assert wire.command("hef.explain", uri) is None
    shown = [params["message"] for method, params in wire.heard if method == "window/showMessage"]
    assert shown == ["hef-lsp: no such model; run `hef-lsp model list`"]
    with pytest.raises(RpcError, match=r"hef\.setContext takes one of"):
        wire.command("hef.setContext", "everything")


def test_one_client_is_served_over_tcp(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    wire = start("--tcp", str(port))
    client = _connected(port)
    with client, client.makefile("rwb") as stream:
        for message in ({"id": 1, "method": "hef/early"}, {"method": "exit"}):
            body = json.dumps({"jsonrpc": "2.0", **message}).encode()
            stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        stream.flush()
        n_bytes = int(stream.readline().split(b":")[1])
        stream.readline()
        assert json.loads(stream.read(n_bytes))["error"]["code"] == -32002
        assert wire.process.wait(WAIT_S) == 1


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)

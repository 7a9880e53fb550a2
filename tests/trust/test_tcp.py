"""Who connects to the port of `hef-lsp serve --tcp` must know the token; from outside nobody can."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hef_lsp.server import create_server, run_server
from hef_lsp.tcp_token import VARIABLE, TokenProblem, is_same_token, take_token, token_for

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
TOKEN = "a token of the test, long enough"
SERVE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from hef_lsp.cli import app; app()"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def server(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-I", "-c", SERVE, "serve", "--tcp", str(port), "--cache-dir", str(tmp_path)]
    command += ["--log-level", "debug"]
    with (tmp_path / "stderr.txt").open("wb") as errors:
        process = subprocess.Popen(command, env=os.environ | {VARIABLE: TOKEN}, stderr=errors)
    yield process
    process.kill()
    process.wait(WAIT_S)


def connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + WAIT_S
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        addresses = {
            c.laddr.ip for c in psutil.Process(process.pid).net_connections("inet") if c.laddr.port == port
        }
        if addresses:
            assert addresses == {"127.0.0.1"}, "the port is open to others than this machine"
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.05)


def asked(client: socket.socket, options: object) -> dict[str, Any]:
    params = {"processId": None, "rootUri": None, "capabilities": {}, "initializationOptions": options}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
    with client.makefile("rwb") as stream:
        stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        stream.flush()
        n_bytes = int(stream.readline().split(b":")[1])
        stream.readline()
        answer: dict[str, Any] = json.loads(stream.read(n_bytes))
    return answer


@pytest.mark.parametrize(
    "options", [None, {}, {"token": ""}, {"token": TOKEN[:-1]}, {"token": [TOKEN]}, [TOKEN]]
)
def test_without_the_token_the_connection_ends(
    options: object, port: int, server: subprocess.Popen[bytes]
) -> None:
    with connected(port, server) as client:
        answer = asked(client, options)
        assert answer["error"]["code"] == -32600 and "token" in answer["error"]["message"]
        assert server.wait(WAIT_S) == 1


def test_with_the_token_it_serves_and_never_logs_it(
    port: int, server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with connected(port, server) as client:
        assert "capabilities" in asked(client, {"token": TOKEN, "completion": {"enabled": False}})["result"]
    assert server.wait(WAIT_S) == 1, "a client that goes without a word ends the server"
    log = (tmp_path / "stderr.txt").read_text(encoding="utf-8")
    assert TOKEN not in log and "no such setting" not in log


def test_a_port_is_not_served_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="token"):
        run_server(create_server(lambda settings, progress: pytest.fail("loaded"), tmp_path), 1, "")


def test_a_new_token_stands_in_a_file_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with caplog.at_level(logging.DEBUG), token_for(7000, tmp_path / "own") as (token, path):
        assert path is not None and path.read_text(encoding="utf-8") == token and len(token) >= 43
        assert os.name != "posix" or stat.S_IMODE(path.stat().st_mode) == 0o600
        with token_for(7001, tmp_path / "own") as (other, _):
            assert other != token
    assert not path.exists() and token not in caplog.text


def test_a_short_token_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(TokenProblem, match="choose a longer one"), token_for(7000, tmp_path):
        pass


def test_the_token_is_taken_from_the_options() -> None:
    assert take_token({"token": "x", "hef": {}}) == ("x", {"hef": {}})
    assert take_token(None) == (None, None)
    assert (
        is_same_token(TOKEN, TOKEN) and not is_same_token(None, TOKEN) and not is_same_token("é\ud800", TOKEN)
    )

"""Frames, URIs, patience with the editor, and leaving with the parent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lsprotocol import types as lsp

from hef_lsp import client as client_module
from hef_lsp.client import Client, NoAnswer
from hef_lsp.configuration import Configuration
from hef_lsp.documents import TextChange
from hef_lsp.edits import Edits
from hef_lsp.file_events import changes_by_root, name_of, path_of, place_of
from hef_lsp.lifetime import watch_parent
from hef_lsp.progress import Report
from hef_lsp.transport import BrokenFrame, FrameBuffer
from indexer.source_files import FileChange


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("n", [1, 2, 3, 7, 1000])
def test_frames_are_found_however_the_stream_is_cut(n: int) -> None:
    stream = frame(b"{}") + b"content-length:5\r\nContent-Type: x; charset=utf-8\r\n\r\nab\r\nc" + frame(b"")
    frames = FrameBuffer()
    found = [body for i in range(0, len(stream), n) for body in frames.feed(stream[i : i + n])]
    assert found == [b"{}", b"ab\r\nc", b""]


@pytest.mark.parametrize(
    "stream", [b"Content-Type: x\r\n\r\n", b"Content-Length: 99999999999\r\n\r\n", b"x" * 70_000]
)
def test_a_stream_that_is_no_protocol_is_given_up(stream: bytes) -> None:
    with pytest.raises(BrokenFrame):
        FrameBuffer().feed(stream)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_uris_become_paths() -> None:
    assert path_of("file:///a%20b/%C3%A4.py") == Path("/a b/ä.py")
    assert path_of("FILE:///a/../b.py") == Path("/b.py")
    assert path_of("file:///a%FFb.py") == Path("/a\udcffb.py")
    for none in (
        "untitled:Untitled-1",
        "vscode-remote://ssh/a.py",
        "file://[",
        "file:///a%00b",
        "",
        "file://",
    ):
        assert path_of(none) is None, none
    assert name_of("untitled:Untitled-1") == "Untitled-1"
    assert name_of("file:///w/a%20b.py") == "a b.py"
    assert name_of("") == "untitled"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_the_innermost_folder_holds_a_file() -> None:
    roots = [Path("/w"), Path("/w/inner"), Path("/w2"), Path("/")]
    assert place_of("file:///w/inner/x/a.py", roots) == (Path("/w/inner"), "x/a.py")
    assert place_of("file:///w/innermost.py", roots) == (Path("/w"), "innermost.py")
    assert place_of("file:///w2/a.py", roots[:2]) is None
    assert place_of("file:///a.py", roots) == (Path("/"), "a.py")
    assert place_of("untitled:a.py", roots) is None
    events = [
        lsp.FileEvent("file:///w/a.py", lsp.FileChangeType.Created),
        lsp.FileEvent("file:///w2/b.py", lsp.FileChangeType.Deleted),
        lsp.FileEvent("file:///out.py", lsp.FileChangeType.Changed),
    ]
    assert changes_by_root(events, roots[:3]) == {
        Path("/w"): [FileChange("a.py")],
        Path("/w2"): [FileChange("b.py", present=False)],
    }


class SilentProtocol:
    """Takes requests and answers none."""

    exit_code = None
    is_shut_down = False

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def notify(self, method: str, params: Any) -> None:
        self.sent.append(params)

    async def send_request_async(self, method: str, params: Any) -> None:
        await asyncio.Event().wait()


async def test_a_client_that_never_answers_holds_nothing_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_S", 0.02)
    client = Client(SilentProtocol())  # type: ignore[arg-type]
    workspace = lsp.WorkspaceClientCapabilities(configuration=True)
    client.introduce(lsp.ClientCapabilities(workspace=workspace), "utf-8")
    with pytest.raises(NoAnswer, match="did not answer"):
        await client.ask(lsp.WORKSPACE_CONFIGURATION, None)
    configuration = Configuration(client)
    configuration.take_initial({"completion": {"debounceMs": 1}})
    await configuration.pull()
    assert configuration.settings.completion.debounce_ms == 1


def test_complaints_are_said_once_and_not_before_initialized() -> None:
    protocol = SilentProtocol()
    configuration = Configuration(Client(protocol))  # type: ignore[arg-type]
    configuration.take_initial({"hef": {"nonsense": 1}})
    assert protocol.sent == []
    configuration.complain()
    configuration.take_pushed({"hef": {"nonsense": 1, "server": {"path": "x"}}})
    assert [params.message.partition(";")[0] for params in protocol.sent] == [
        "hef-lsp: hef.nonsense: no such setting"
    ]


def test_edits_tell_deletion_and_typing() -> None:
    edits = Edits()
    cut, put = TextChange(((0, 0), (0, 1)), ""), TextChange(((0, 0), (0, 0)), "x")
    assert not edits.only_deleted("u") and not edits.is_typing("u")
    edits.changed("u", [cut])
    assert edits.only_deleted("u") and edits.is_typing("u")
    edits.changed("u", [cut, put])
    assert not edits.only_deleted("u")
    edits.changed("u", [TextChange(None, "")])
    assert not edits.only_deleted("u"), "the whole text was sent anew"
    edits.closed("u")
    assert not edits.is_typing("u")


def test_percentages_stay_within_bounds() -> None:
    assert [Report("x", "", *counts).percentage for counts in ((0, 0), (1, 3), (5, 3))] == [None, 33, 100]


def test_death_of_the_parent_is_told_and_then_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hef_lsp.lifetime.POLL_S", 0.02)
    monkeypatch.setattr("hef_lsp.lifetime.GRACE_S", 0.02)
    parent = subprocess.Popen([sys.executable, "-I", "-c", "input()"], stdin=subprocess.PIPE)
    told, ended = threading.Event(), SimpleNamespace(code=None)
    watcher = watch_parent(parent.pid, told.set, lambda code: setattr(ended, "code", code))
    assert watcher is not None
    assert not told.wait(0.1)
    parent.communicate(b"\n")
    watcher.join(5)
    assert told.is_set() and ended.code == 1


def test_an_unseen_parent_is_not_watched() -> None:
    """The editor may run in another process table, as outside of a container."""
    assert watch_parent(2**22 + 7, lambda: pytest.fail("it was never there")) is None
    assert watch_parent(None, lambda: None) is None

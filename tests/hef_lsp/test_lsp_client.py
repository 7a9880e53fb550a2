"""The editor without a screen, against a server that answers by rote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from lsprotocol import types as lsp

from hef_lsp.lsp_client import ServerDied, editor_client

STUB = (sys.executable, str(Path(__file__).with_name("stub_server.py")))
OPTIONS = {"context": {"mode": "none"}}


async def test_a_session_from_initialize_to_exit(tmp_path: Path) -> None:
    async with editor_client(tmp_path, OPTIONS, STUB) as editor:
        uri = editor.open(tmp_path / "a.py", "x = \ny = 2\n")
        editor.insert(uri, 0, 4, "1")
        assert await editor.inline_complete(uri, 0, 5) == ["<x = 1>"]
        editor.replace_all(uri, "z\n")
        assert await editor.inline_complete(uri, 0, 1, invoked=False) == ["<z>"]
        assert [item.label for item in await editor.complete(uri, 0, 1)] == ["entry"]
        explanation = await editor.command("hef.explain")
        assert explanation["source"] == "generated" and explanation["timings"]["decode_ms"] == 2.0
        assert (await editor.wait_until_settled())["index"] == {"files": 1}
        editor.file_changed(tmp_path / "a.py", lsp.FileChangeType.Deleted)
        editor.close(uri)
    assert editor.process.returncode == 0
    assert "stub is here" in "".join(editor.stderr)


async def test_a_server_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServerDied, match="the stub dies now"):
        async with editor_client(tmp_path, {**OPTIONS, "stub": "die"}, STUB) as editor:
            uri = editor.open(tmp_path / "a.py", "x\n")
            await editor.inline_complete(uri, 0, 1)


async def test_a_command_that_cannot_start_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ServerDied, match="No module named"):
        async with editor_client(tmp_path, OPTIONS, (sys.executable, "-I", "-m", "no_such_server")):
            pass

"""The server against the capabilities that real editors were recorded to send, through pytest-lsp."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_lsp
from lsprotocol import types as lsp
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities, make_test_lsp_client

STUB = Path(__file__).with_name("stub_server.py")
COMMAND = [sys.executable, "-I", str(STUB), "--script", "total(basket)\n"]
TEXT = "def total(items):\n    return sum(item.price for item in items)\n\n\nvalue = "


def make_client() -> LanguageClient:
    """pytest-lsp's client, answering what these editors answer and it does not."""
    client = make_test_lsp_client()
    for method in (lsp.CLIENT_REGISTER_CAPABILITY, lsp.CLIENT_UNREGISTER_CAPABILITY, "hef/status"):
        client.feature(method)(lambda _: None)
    return client


@pytest_lsp.fixture(
    params=["neovim", "visual_studio_code", "emacs"],
    config=ClientServerConfig(server_command=COMMAND, client_factory=make_client),
)
async def client(
    lsp_client: LanguageClient, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[None]:
    capabilities = client_capabilities(request.param)
    folder = lsp.WorkspaceFolder(uri=tmp_path.as_uri(), name="work")
    params = lsp.InitializeParams(
        capabilities=capabilities, root_uri=tmp_path.as_uri(), workspace_folders=[folder]
    )
    await lsp_client.initialize_session(params)
    yield
    await lsp_client.shutdown_session()


async def ready(client: LanguageClient) -> None:
    for _ in range(400):
        status = await client.workspace_execute_command_async(lsp.ExecuteCommandParams("hef.status"))
        if status["state"] == "ready":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(status)


async def test_a_recorded_client_completes_through_the_list(client: LanguageClient, tmp_path: Path) -> None:
    file = tmp_path / "basket.py"
    file.write_text(TEXT)
    await ready(client)
    item = lsp.TextDocumentItem(uri=file.as_uri(), language_id="python", version=1, text=TEXT)
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
    place = lsp.Position(4, len("value = "))
    result = await client.text_document_completion_async(
        lsp.CompletionParams(lsp.TextDocumentIdentifier(file.as_uri()), place)
    )
    assert isinstance(result, lsp.CompletionList)
    assert result.is_incomplete
    edits = [item.text_edit for item in result.items]
    assert [edit.new_text for edit in edits if edit] == ["total(basket)"]
    assert all(isinstance(edit, lsp.TextEdit) and edit.range.end == place for edit in edits)


async def test_a_recorded_client_sees_ghost_text(client: LanguageClient, tmp_path: Path) -> None:
    file = tmp_path / "basket.py"
    await ready(client)
    item = lsp.TextDocumentItem(uri=file.as_uri(), language_id="python", version=1, text=TEXT)
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
    context = lsp.InlineCompletionContext(lsp.InlineCompletionTriggerKind.Automatic)
    result = await client.text_document_inline_completion_async(
        lsp.InlineCompletionParams(
            context, lsp.TextDocumentIdentifier(file.as_uri()), lsp.Position(4, len("value = "))
        )
    )
    assert [item.insert_text for item in result.items] == ["total(basket)"]

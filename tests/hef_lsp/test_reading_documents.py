"""What the messages about documents have to do with reading ahead: opened, changed, asked about, closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeGenerator, fake_bundle
from lsprotocol import types as lsp
from waiting import until

from hef_lsp import reading_ahead
from hef_lsp.handlers import completion, text_sync
from hef_lsp.server import create_server
from hef_lsp.session import Session
from model.protocols import OpenText

URI = "file:///no/such/place/a.py"


@pytest.fixture
async def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Session]:
    monkeypatch.setattr(reading_ahead, "PAUSE_S", 0.02)
    generator = FakeGenerator(["return total"])
    load: Callable[..., Any] = lambda *_: fake_bundle(generator=generator)  # noqa: E731
    made = create_server(load, tmp_path / "cache").session
    made.generator = generator  # type: ignore[attr-defined]
    made.open()
    yield made
    made.close()


def read(session: Session) -> list[OpenText]:
    texts: list[OpenText] = session.generator.read  # type: ignore[attr-defined]
    return texts


def opened(session: Session, text: str) -> None:
    item = lsp.TextDocumentItem(uri=URI, language_id="python", version=1, text=text)
    text_sync.did_open(session, lsp.DidOpenTextDocumentParams(item))


def changed(session: Session, change: lsp.TextDocumentContentChangeEvent) -> None:
    identifier = lsp.VersionedTextDocumentIdentifier(uri=URI, version=2)
    text_sync.did_change(session, lsp.DidChangeTextDocumentParams(identifier, [change]))


async def test_a_document_opened_before_the_models_are_there_is_read_when_they_are(session: Session) -> None:
    opened(session, "x = 1\n")
    await until(lambda: bool(read(session)))
    assert read(session) == [OpenText(URI, "# a.py\n", "x = 1\n")]


async def test_after_a_change_it_is_read_around_the_place_of_the_change(session: Session) -> None:
    opened(session, "x = 1\ny = 2\n")
    await until(lambda: bool(read(session)))
    place = lsp.Position(line=1, character=4)
    changed(session, lsp.TextDocumentContentChangePartial(text="10 +", range=lsp.Range(place, place)))
    await until(lambda: len(read(session)) > 1)
    assert read(session)[-1] == OpenText(URI, "# a.py\nx = 1\ny = 10 +", "2\n")


async def test_after_the_whole_text_was_sent_it_is_read_from_its_beginning(session: Session) -> None:
    opened(session, "x = 1\n")
    changed(session, lsp.TextDocumentContentChangeWholeDocument(text="y = 2\n"))
    await until(lambda: bool(read(session)))
    assert read(session) == [OpenText(URI, "# a.py\n", "y = 2\n")]


async def test_after_an_answer_it_is_read_around_the_cursor(session: Session) -> None:
    opened(session, "x = 1\ny = ")
    await until(lambda: bool(read(session)))
    invoked = lsp.InlineCompletionContext(trigger_kind=lsp.InlineCompletionTriggerKind.Invoked)
    place = lsp.TextDocumentIdentifier(uri=URI), lsp.Position(line=1, character=4)
    answer = completion.inline_completion(session, lsp.InlineCompletionParams(invoked, *place))
    assert asyncio.iscoroutine(answer)
    await answer
    await until(lambda: len(read(session)) > 1)
    assert read(session)[-1] == OpenText(URI, "# a.py\nx = 1\ny = ", "")


async def test_closed_it_is_forgotten(session: Session) -> None:
    opened(session, "x = 1\n")
    await until(lambda: bool(read(session)))
    opened(session, "x = 2\n")
    text_sync.did_close(session, lsp.DidCloseTextDocumentParams(lsp.TextDocumentIdentifier(uri=URI)))
    await asyncio.sleep(0.1)
    assert len(read(session)) == 1
    assert session.generator.closed == [URI]  # type: ignore[attr-defined]

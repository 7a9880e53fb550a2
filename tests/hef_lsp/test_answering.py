"""What becomes of an answer when the document moved on, and of requests around the lane."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from hef_lsp.answering import MOST_RUNNING, Answering, typed_since, without_typed
from hef_lsp.documents import DocumentSnapshot, DocumentStore, PositionEncoding, TextChange
from hef_lsp.engine import Suggestion
from hef_lsp.request import CompletionRequest
from hef_lsp.scheduling import InferenceLane
from hef_lsp.settings import Settings

URI = "file:///w/a.py"


def snapshot(text: str, version: int = 1) -> DocumentSnapshot:
    return DocumentSnapshot.of(URI, version, "python", text)


@pytest.mark.parametrize(
    ("before", "after", "offset", "typed"),
    [
        ("x = \n", "x = re\n", 4, "re"),
        ("x = \n", "x = \n", 4, ""),
        ("x = \n", "x =\n", 4, None),
        ("x = \n", "yx = \n", 4, None),
        ("x = \n", "x = a\nb", 4, None),
        ("aa", "aaa", 1, "a"),
    ],
)
def test_only_text_typed_at_the_cursor_counts(
    before: str, after: str, offset: int, typed: str | None
) -> None:
    assert typed_since(snapshot(before), snapshot(after, 2), offset) == typed


def test_typed_text_is_taken_off_the_answer() -> None:
    assert without_typed(Suggestion("return x", 4, 4), 4, "re") == Suggestion("turn x", 6, 6)
    assert without_typed(Suggestion("a\nb", 0, 0), 0, "a\r\n") == Suggestion("b", 3, 3)
    assert without_typed(Suggestion("return x", 4, 4), 4, "ra") is None
    assert without_typed(Suggestion("re", 4, 4), 4, "re") is None
    assert without_typed(Suggestion("return", 2, 4), 4, "r") is None


class SlowEngine:
    """Answers when `go` is set, with what it was asked for; `lookup` never knows."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.fails = False

    def lookup(self, request: CompletionRequest) -> None:
        return None

    def complete(self, request: CompletionRequest, cancel: object) -> list[Suggestion]:
        self.begun.set()
        assert self.go.wait(5)
        if self.fails:
            raise ValueError("broken")
        return [Suggestion("return x", request.offset, request.offset)]


class Rig:
    def __init__(self) -> None:
        self.engine, self.lane, self.documents = SlowEngine(), InferenceLane(), DocumentStore()
        self.answering = Answering(
            self.lane,
            lambda: self.engine,  # type: ignore[arg-type, return-value]
            Settings,
            self.documents.get,
        )
        self.documents.open(URI, "python", 1, "x = ")

    def ask(self) -> asyncio.Future[object]:
        document = self.documents.get(URI)
        assert document is not None
        request = CompletionRequest(document, "a.py", None, len(document.text), invoked=True)
        key, token = self.answering.begin(request, "inline")
        return asyncio.ensure_future(self.answering.answer(request, key, token))

    def type(self, text: str) -> None:
        document = self.documents.get(URI)
        assert document is not None
        place = (0, len(document.text))
        change = TextChange((place, place), text)
        self.documents.change(URI, document.version + 1, [change], PositionEncoding.UTF32)

    async def begun(self) -> None:
        await asyncio.to_thread(self.engine.begun.wait, 5)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.engine.go.set()
    made.lane.close()


async def test_an_answer_that_was_ready_survives_typing_through_it(rig: Rig) -> None:
    asked = rig.ask()
    await rig.begun()
    rig.engine.go.set()
    rig.lane.run(1, lambda: None)  # type: ignore[arg-type]  # the lane is past the answer, the loop is not
    rig.type("ret")
    rig.answering.cancel(URI)
    answer = await asked
    assert answer.document.version == 2  # type: ignore[attr-defined]
    assert answer.suggestions == [Suggestion("urn x", 7, 7)]  # type: ignore[attr-defined]


async def test_an_answer_for_other_text_is_void(rig: Rig) -> None:
    asked = rig.ask()
    await rig.begun()
    rig.engine.go.set()
    rig.lane.run(1, lambda: None)  # type: ignore[arg-type]
    rig.type("other")
    assert (await asked).suggestions == []  # type: ignore[attr-defined]


async def test_a_newer_request_ends_the_one_in_the_lane_at_once(rig: Rig) -> None:
    older = rig.ask()
    await rig.begun()
    newer = rig.ask()
    assert (await asyncio.wait_for(older, 1)).suggestions == []  # type: ignore[attr-defined]
    assert not newer.done()
    rig.engine.go.set()
    assert (await newer).suggestions  # type: ignore[attr-defined]


async def test_how_long_a_cancel_took_to_be_heard_is_kept(rig: Rig) -> None:
    older = rig.ask()
    await rig.begun()
    newer = rig.ask()
    await older
    assert rig.answering.stops_ms == ()
    await asyncio.sleep(0.02)
    rig.engine.go.set()
    await newer
    (stop_ms,) = rig.answering.stops_ms
    assert stop_ms >= 20


async def test_a_failing_engine_answers_empty(rig: Rig) -> None:
    rig.engine.fails = True
    rig.engine.go.set()
    assert (await rig.ask()).suggestions == []  # type: ignore[attr-defined]


async def test_a_closed_lane_answers_empty(rig: Rig) -> None:
    rig.lane.close()
    assert (await rig.ask()).suggestions == []  # type: ignore[attr-defined]


async def test_over_all_documents_only_the_newest_requests_wait(rig: Rig) -> None:
    asked = []
    for number in range(3 * MOST_RUNNING):
        document = rig.documents.open(f"file:///w/{number}.py", "python", 1, "x = ")
        request = CompletionRequest(document, "a.py", None, 4, invoked=True)
        key, token = rig.answering.begin(request, "inline")
        asked.append(asyncio.ensure_future(rig.answering.answer(request, key, token)))
    shed, kept = asked[:-MOST_RUNNING], asked[-MOST_RUNNING:]
    assert all(not answer.suggestions for answer in await asyncio.gather(*shed))
    assert not any(answer.done() for answer in kept)
    rig.engine.go.set()
    assert all(answer.suggestions for answer in await asyncio.gather(*kept))

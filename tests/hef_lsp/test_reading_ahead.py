"""Reading open documents while nobody asks: which, when, and that it is in nobody's way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from engine_rig import URI, Rig, request_at, rig
from fakes import FakeGenerator
from waiting import until

from hef_lsp import reading_ahead
from hef_lsp.reading_ahead import ReadingAhead
from hef_lsp.request import CompletionRequest
from hef_lsp.scheduling import InferenceLane, LanePriority
from model.protocols import CancelSignal, Interrupted, NeverCancelled, OpenText


@dataclass
class Engine:
    """Reads as many pieces of each document as it is told; `until` holds a piece up."""

    n_pieces: int = 3
    until: Callable[[CancelSignal], None] = lambda _cancel: None
    read: list[str] = field(default_factory=list)

    def read_on(self, request: CompletionRequest, cancel: CancelSignal) -> bool:
        if cancel.cancelled:
            return True
        self.read.append(request.document.text)
        self.until(cancel)
        return self.read.count(request.document.text) < self.n_pieces


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_ahead, "PAUSE_S", 0.02)


@pytest.fixture
def lane() -> Iterator[InferenceLane]:
    made = InferenceLane()
    yield made
    made.close()


async def test_a_document_is_read_to_its_end_and_not_again(lane: InferenceLane) -> None:
    engine = Engine()
    reading = ReadingAhead(lane, lambda: engine)  # type: ignore[arg-type, return-value]
    reading.touched(request_at("x = ║1\n"))
    await until(lambda: len(engine.read) == 3)
    await asyncio.sleep(0.1)
    assert engine.read == ["x = 1\n"] * 3


async def test_the_last_one_that_was_touched_is_read(lane: InferenceLane) -> None:
    engine = Engine(n_pieces=1)
    reading = ReadingAhead(lane, lambda: engine)  # type: ignore[arg-type, return-value]
    for text in ("first = ║", "second = ║", "third = ║"):
        reading.touched(request_at(text))
    await until(lambda: bool(engine.read))
    await asyncio.sleep(0.1)
    assert engine.read == ["third = "]


async def test_it_waits_for_an_engine(lane: InferenceLane) -> None:
    engine, ready = Engine(n_pieces=1), threading.Event()
    reading = ReadingAhead(lane, lambda: engine if ready.is_set() else None)  # type: ignore[arg-type, return-value]
    reading.touched(request_at("x = ║"))
    await asyncio.sleep(0.1)
    assert engine.read == []
    ready.set()
    reading.go_on()
    await until(lambda: engine.read == ["x = "])


async def test_a_keystroke_stops_a_piece_and_reading_goes_on_after_it(lane: InferenceLane) -> None:
    begun = threading.Event()

    def held_up(cancel: CancelSignal) -> None:
        begun.set()
        while len(engine.read) == 1 and not cancel.cancelled:
            pass

    engine = Engine(n_pieces=2, until=held_up)
    reading = ReadingAhead(lane, lambda: engine)  # type: ignore[arg-type, return-value]
    reading.touched(request_at("x = ║"))
    await until(begun.is_set)
    answer = lane.submit(LanePriority.KEYSTROKE, lambda: list(engine.read))
    assert await asyncio.wrap_future(answer) == ["x = "]
    await until(lambda: len(engine.read) == 2)


async def test_a_change_stops_a_piece_of_the_older_text(lane: InferenceLane) -> None:
    def held_up(cancel: CancelSignal) -> None:
        while engine.read == ["x = "] and not cancel.cancelled:
            pass

    engine = Engine(n_pieces=1, until=held_up)
    reading = ReadingAhead(lane, lambda: engine)  # type: ignore[arg-type, return-value]
    reading.touched(request_at("x = ║"))
    await until(lambda: engine.read == ["x = "])
    reading.touched(request_at("x = 1║"))
    await until(lambda: engine.read == ["x = ", "x = 1"])


@pytest.mark.parametrize("uri", [URI, None])
async def test_nothing_is_read_of_a_closed_document(lane: InferenceLane, uri: str | None) -> None:
    engine = Engine()
    reading = ReadingAhead(lane, lambda: engine)  # type: ignore[arg-type, return-value]
    reading.touched(request_at("x = ║"))
    if uri is None:
        reading.stop()
    else:
        reading.closed("file:///w/another.py")
        reading.closed(uri)
    await asyncio.sleep(0.1)
    assert engine.read == []


@pytest.mark.parametrize("text", ["\0\0\0║", "x" * 6_000 + "║"])
async def test_what_is_never_completed_is_not_read(lane: InferenceLane, text: str) -> None:
    engine = Engine()
    reading = ReadingAhead(lane, lambda: engine)  # type: ignore[arg-type, return-value]
    reading.touched(request_at(text))
    await asyncio.sleep(0.1)
    assert engine.read == []


async def test_a_closed_lane_is_no_error(lane: InferenceLane) -> None:
    reading = ReadingAhead(lane, Engine)  # type: ignore[arg-type]
    lane.close()
    reading.touched(request_at("x = ║"))
    await asyncio.sleep(0.1)


def keeping(n_tokens: int) -> Rig:
    """A rig whose setting says so."""
    made = rig(["1"])
    made.settings = replace(made.settings, context=replace(made.settings.context, open_file_tokens=n_tokens))
    return made


def test_the_engine_reads_what_a_prompt_would_show() -> None:
    made = rig(["1"])
    secret = "AKIA" + "Q7ZL2MN4XV9B1C3D"
    request = request_at(f'key = "{secret}"\nx = ║\ny = 2\n', path="app.py")
    assert not made.engine.read_on(request, NeverCancelled())
    (text,) = made.generator.read
    assert (text.name, text.after) == (URI, "\ny = 2\n")
    assert text.before.startswith("# app.py\n") and text.before.endswith("\nx = ")
    assert secret not in text.before
    made.engine.complete(request, NeverCancelled())
    assert made.generator.calls[-1].prompt.open_text == URI
    made.engine.forget(URI)
    assert made.generator.closed == [URI]


def test_nothing_is_read_where_the_setting_says_so_nor_of_secrets() -> None:
    made = keeping(0)
    made.engine.read_on(request_at("x = ║"), NeverCancelled())
    made.engine.complete(request_at("x = ║"), NeverCancelled())
    assert made.generator.read == [] and made.generator.calls[-1].prompt.open_text == ""
    hidden = rig(["1"])
    hidden.engine.read_on(request_at("x = ║", path=".env"), NeverCancelled())
    assert hidden.generator.read == []


def test_an_interrupted_piece_is_still_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: FakeGenerator, text: OpenText, n_tokens: int, cancel: CancelSignal) -> bool:
        raise Interrupted("somebody waits")

    made = rig(["1"])
    monkeypatch.setattr(FakeGenerator, "read_on", interrupted)
    assert made.engine.read_on(request_at("x = ║"), NeverCancelled())


def test_of_a_long_file_the_beginning_is_left_out_in_steps() -> None:
    line = "value = 1234567\n"
    made = keeping(64)
    for n_lines in (1_001, 1_002):
        made.engine.read_on(request_at(line * n_lines + "║" + line * 1_000), NeverCancelled())
    first, second = made.generator.read
    assert second.before == first.before + line
    assert len(first.before) < 64 * 16 + 20 and len(first.after) == 64 * 16

"""Looking ahead: which place comes next, and that it is in nobody's way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from engine_rig import CURSOR, URI, FakeView, chunk_hit, request_at, rig
from fakes import FakeGenerator, fake_bundle

from hef_lsp import prefetching
from hef_lsp.engine import Suggestion
from hef_lsp.prefetching import Prefetching, following_request
from hef_lsp.request import CompletionRequest
from hef_lsp.scheduling import InferenceLane, LanePriority
from hef_lsp.settings import ContextMode
from model.protocols import CancelSignal, NeverCancelled

GO = NeverCancelled()


def then_g(prompt: str, branch: int) -> str:
    """A model's answers: one on the line, another on the next."""
    return "g(x)" if prompt.endswith("\n") else "f(x)"


def following(marked: str, text: str, language_id: str = "python", path: str = "app.py") -> str | None:
    """The document and its cursor after `text` was accepted at the mark and the line ended."""
    request = request_at(marked, language_id=language_id, path=path)
    found = following_request(request, Suggestion(text, request.offset, request.offset))
    return None if found is None else found.prefix + CURSOR + found.suffix


@pytest.mark.parametrize(
    ("marked", "text", "expected"),
    [
        ("x = ║\ny = 1", "f(x)", "x = f(x)\n║\ny = 1"),
        ("def f():\n    x = ║\n", "1", "def f():\n    x = 1\n    ║\n"),
        ("def f():\n    if ║\n", "x:", "def f():\n    if x:\n        ║\n"),
        ("def f():\n\tx = 1\n\tif ║\n", "x:", "def f():\n\tx = 1\n\tif x:\n\t\t║\n"),
        ("a:\n  b\nclass ║", "C:", "a:\n  b\nclass C:\n  ║"),
        ("x = ║  \n", "1", "x = 1\n║  \n"),
        ("for x in y:\n    ║", "f(x)\n    g(x)", "for x in y:\n    f(x)\n    g(x)\n    ║"),
        ("call(║)\n", "x", None),  # the line goes on
        ("x = 1\n║\n", "   ", None),
    ],
)
def test_the_line_that_follows(marked: str, text: str, expected: str | None) -> None:
    assert following(marked, text) == expected


def test_a_selected_entry_or_a_replaced_range_is_left_alone() -> None:
    selected = request_at("x = os.pa║\n", selected=("pa", "path"))
    assert following_request(selected, Suggestion("path.join(a)", 7, 9)) is None
    plain = request_at("x = ║\n")
    assert following_request(plain, Suggestion("1", 2, 4)) is None


def test_windows_line_ends_are_met_again_in_the_store() -> None:
    made = rig(then_g)
    request = request_at("a = 1\r\nx = ║\r\n")
    (first,) = made.engine.complete(request, GO)
    ahead = following_request(request, first)
    assert ahead is not None
    made.engine.prefetch(ahead, GO)
    arrived = request_at("a = 1\r\nx = f(x)\r\n║\r\n")
    assert [s.text for s in made.engine.lookup(arrived) or ()] == ["g(x)"]


def test_what_was_made_ahead_is_served_and_explained_as_such() -> None:
    made = rig(then_g)
    request = request_at("x = ║\n")
    (first,) = made.engine.complete(request, GO)
    ahead = following_request(request, first)
    assert ahead is not None and ahead.ahead
    made.engine.prefetch(ahead, GO)
    explained = made.engine.last_explanation
    assert explained is not None and explained.suggestions == ("f(x)",)  # nobody saw the other yet
    assert [s.text for s in made.engine.lookup(request_at("x = f(x)\n║\n")) or ()] == ["g(x)"]
    explained = made.engine.last_explanation
    assert explained is not None and (explained.source, explained.n_decoded) == ("prefetched", 0)


def test_looking_ahead_keeps_the_context_of_the_line_before() -> None:
    view = FakeView([chunk_hit("lib.py", "def g(x): pass")])
    made = rig(["f(x)", "g(x)", "h(x)"], view, ContextMode.TEXT)
    request = request_at("import os\nx = ║\n")
    (first,) = made.engine.complete(request, GO)
    ahead = following_request(request, first)
    assert ahead is not None
    made.engine.prefetch(ahead, GO)
    assert len(made.retriever.queries) == 1
    made.engine.complete(request_at("import os\nx = y║\n"), GO)
    assert len(made.retriever.queries) == 1  # and the line's own context is still known


def test_a_line_whose_best_hits_are_known_keeps_the_prompt() -> None:
    """A new order of the same hits would cost a whole prefill."""
    hits = [chunk_hit("lib.py", f"def g{n}(x): pass", n) for n in range(4)]
    view = FakeView(list(hits))
    made = rig(["zzz"], view, ContextMode.TEXT)
    made.engine.complete(request_at("import os\na║\n"), GO)
    view.hits = [hits[2], hits[0], hits[1], hits[3]]
    made.engine.complete(request_at("import os\na = 1\nb║\n"), GO)
    assert len(made.retriever.queries) == 2
    first, second = (call.prompt_text for call in made.generator.calls)
    assert second.startswith(first.removesuffix("a"))
    view.hits = [chunk_hit("new.py", "def news(): pass"), *hits]
    made.engine.complete(request_at("import os\na = 1\nb = 1\nc║\n"), GO)
    assert "news" in made.generator.calls[-1].prompt_text


class Engine:
    """Notes what it was asked to work out ahead; goes on until it is cancelled where it is told to."""

    def __init__(self) -> None:
        self.asked: list[CompletionRequest] = []
        self.known: list[str] = []
        self.is_slow = False
        self.begun, self.ended = threading.Event(), threading.Event()

    def lookup(self, request: CompletionRequest) -> list[Suggestion] | None:
        return [] if request.prefix in self.known else None

    def prefetch(self, request: CompletionRequest, cancel: CancelSignal) -> None:
        self.asked.append(request)
        self.begun.set()
        while self.is_slow and not cancel.cancelled:
            pass
        self.ended.set()


class Desk:
    def __init__(self) -> None:
        self.engine, self.lane = Engine(), InferenceLane()
        self.ahead = Prefetching(self.lane, lambda: self.engine)  # type: ignore[arg-type, return-value]

    def offer(self, marked: str, text: str) -> None:
        request = request_at(marked)
        self.ahead.after(request, [Suggestion(text, request.offset, request.offset)])

    async def settled(self) -> list[str]:
        """The prefixes that were worked on."""
        await asyncio.sleep(0.05)
        await asyncio.to_thread(self.lane.run, LanePriority.INDEX, lambda: None)
        return [request.prefix for request in self.engine.asked]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(prefetching, "PAUSE_S", 0.0)
    made = Desk()
    yield made
    made.ahead.stop()
    made.lane.close()


async def test_the_first_offer_is_followed(desk: Desk) -> None:
    desk.offer("x = ║\n", "1")
    assert await desk.settled() == ["x = 1\n"]


async def test_typing_through_an_offer_leads_to_the_same_place_once(desk: Desk) -> None:
    desk.offer("x = ║\n", "12")
    await desk.settled()
    desk.offer("x = 1║\n", "2")
    assert await desk.settled() == ["x = 12\n"]


async def test_a_known_place_is_not_worked_out_again(desk: Desk) -> None:
    desk.engine.known = ["x = 1\n"]
    desk.offer("x = ║\n", "1")
    assert await desk.settled() == []


async def test_another_offer_takes_its_place(desk: Desk) -> None:
    desk.engine.is_slow = True
    desk.offer("x = ║\n", "1")
    await asyncio.to_thread(desk.engine.begun.wait, 5)
    desk.offer("y = ║\n", "2")
    assert await asyncio.to_thread(desk.engine.ended.wait, 5)
    desk.ahead.stop()


async def test_a_request_that_needs_the_lane_stops_it(desk: Desk) -> None:
    desk.engine.is_slow = True
    desk.offer("x = ║\n", "1")
    await asyncio.to_thread(desk.engine.begun.wait, 5)
    desk.ahead.make_way(request_at("x = 2║\n"))
    assert await asyncio.to_thread(desk.engine.ended.wait, 5)


async def test_a_request_for_the_very_place_lets_it_end(desk: Desk) -> None:
    desk.engine.is_slow = True
    desk.offer("x = ║\n", "1")
    await asyncio.to_thread(desk.engine.begun.wait, 5)
    desk.ahead.make_way(request_at("x = 1\n║\n"))
    assert not desk.engine.ended.is_set()
    desk.engine.is_slow = False
    assert await asyncio.to_thread(desk.engine.ended.wait, 5)


async def test_before_the_pause_is_over_nothing_begins(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetching, "PAUSE_S", 60.0)
    desk.offer("x = ║\n", "1")
    desk.ahead.make_way(request_at("x = 1\n║\n"))  # sooner there than the look ahead
    assert await desk.settled() == []


async def test_where_the_cursor_was_moved_to_is_worked_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetching, "REST_S", 0.0)
    desk.ahead.moved_to(request_at("x = ║\n"))
    assert await desk.settled() == ["x = "]
    assert desk.engine.asked[0].at_rest and not desk.engine.asked[0].ahead
    desk.ahead.moved_to(request_at("na║me = 1\r\nx\r\n"))  # nothing is asked for within a word
    assert await desk.settled() == ["x = ", "name = 1"]
    desk.ahead.moved_to(request_at("║"))
    assert len(await desk.settled()) == 2


async def test_a_cursor_that_passes_by_is_not_followed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetching, "REST_S", 0.02)
    desk.ahead.moved_to(request_at("x = ║\ny = \n"))
    desk.ahead.moved_to(request_at("x = \ny = ║\n"))
    assert await desk.settled() == ["x = \ny = "]


async def test_where_the_answer_is_known_the_look_ahead_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor tells of the cursor after every key, too."""
    monkeypatch.setattr(prefetching, "REST_S", 0.0)
    desk.engine.known, desk.engine.is_slow = ["x = "], True
    desk.offer("x = ║\n", "1")
    await asyncio.to_thread(desk.engine.begun.wait, 5)
    desk.ahead.moved_to(request_at("x = ║\n"))
    assert not desk.engine.ended.is_set()
    desk.engine.is_slow = False
    assert await desk.settled() == ["x = 1\n"]


def test_what_is_told_at_rest_is_told_to_the_first_key() -> None:
    view = FakeView([chunk_hit("lib.py", "def g(x): pass")])
    made = rig(["f(x)"], view, ContextMode.TEXT)
    made.engine.complete(request_at("a = 1║\n"), GO)
    made.engine.prefetch(replace(request_at("a = 1\nx = ║\n"), at_rest=True), GO)
    assert len(made.retriever.queries) == 2, "another place, and not the line that follows an offer"
    shown = made.engine.last_explanation
    assert shown is not None and shown.line == 0, "nobody saw it"
    made.engine.complete(request_at("a = 1\nx = y║\n"), GO)
    assert len(made.retriever.queries) == 2
    assert [s.text for s in made.engine.lookup(request_at("a = 1\nx = f║\n")) or ()] == ["(x)"]


async def test_a_closed_lane_is_no_error(desk: Desk) -> None:
    desk.lane.close()
    desk.offer("x = ║\n", "1")
    await asyncio.sleep(0.01)


def test_a_failing_model_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeGenerator):
        def generate(self, *_: object) -> object:  # type: ignore[override]
            raise RuntimeError("no model")

    made = rig(bundle=fake_bundle(Broken(["x"])))
    made.engine.prefetch(replace(request_at("x = ║\n"), ahead=True), GO)
    assert made.engine.lookup(request_at("x = ║\n")) is None and "the generator" in caplog.text
    assert made.engine.explanation(URI) is None

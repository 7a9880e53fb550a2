"""Looking ahead: which place comes next, and that it is in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from ahead_rig import Desk, desk_of_its_own
from engine_rig import URI, FakeView, chunk_hit, request_at, rig
from fakes import FakeGenerator, fake_bundle

from hef_lsp import prefetching
from hef_lsp.engine import Suggestion
from hef_lsp.following import following_request
from hef_lsp.request import CompletionRequest
from hef_lsp.settings import ContextMode
from model.protocols import NeverCancelled

GO = NeverCancelled()


def then_g(prompt: str, branch: int) -> str:
    """A model's answers: one on the line, another on the next."""
    return "g(x)" if prompt.endswith("\n") else "f(x)"


def test_windows_line_ends_are_met_again_in_the_store() -> None:
    made = rig(then_g)
    request = request_at("a = 1\r\nx = ║\r\n")
    (first,) = made.engine.complete(request, GO)
    ahead = following_request(request, first.text)
    assert ahead is not None
    made.engine.prefetch(ahead, GO)
    arrived = request_at("a = 1\r\nx = f(x)\r\n║\r\n")
    assert [s.text for s in made.engine.lookup(arrived) or ()] == ["g(x)"]


def test_what_was_made_ahead_is_served_and_explained_as_such() -> None:
    made = rig(then_g)
    request = request_at("x = ║\n")
    (first,) = made.engine.complete(request, GO)
    ahead = following_request(request, first.text)
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
    ahead = following_request(request, first.text)
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


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(prefetching, "PAUSE_S", 0.0)
    with desk_of_its_own() as made:
        yield made


async def test_the_first_offer_is_followed(desk: Desk) -> None:
    desk.offer("x = ║\n", "1")
    assert await desk.settled() == ["x = 1\n"]


async def test_the_line_that_follows_is_looked_for_after_the_pause(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(request: CompletionRequest, text: str) -> CompletionRequest | None:
        looked.append(text)
        return following_request(request, text)

    monkeypatch.setattr(prefetching, "following_request", look)
    desk.offer("x = ║\n", "12")
    desk.offer("x = 1║\n", "2")
    assert looked == []  # the answer is not written yet
    assert await desk.settled() == ["x = 12\n"]
    assert looked == ["12"]


async def test_where_no_line_follows_nothing_is_worked_out(desk: Desk) -> None:
    desk.offer("x = ║ # ready\n", "1")
    desk.offer("║\n", " ")
    assert await desk.settled() == []


async def test_only_what_is_inserted_at_the_cursor_is_followed(desk: Desk) -> None:
    selected = request_at("x = os.pa║\n", selected=("pa", "path"))
    desk.ahead.after(selected, [Suggestion("path.join(a)", 7, 9)])
    plain = request_at("x = ║\n")
    desk.ahead.after(plain, [Suggestion("1", 2, 4)])
    desk.ahead.after(plain, [])
    assert await desk.settled() == []


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

"""Where the cursor rests: what is worked out there, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from ahead_rig import Desk, desk_of_its_own
from engine_rig import FakeView, chunk_hit, request_at, rig

from hef_lsp import cursor_rest, prefetching
from hef_lsp.settings import ContextMode
from model.protocols import NeverCancelled

GO = NeverCancelled()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(prefetching, "PAUSE_S", 0.0)
    monkeypatch.setattr(cursor_rest, "REST_S", 0.0)
    monkeypatch.setattr(cursor_rest, "LOOK_S", 0.0)
    with desk_of_its_own() as made:
        yield made


async def test_where_the_cursor_was_moved_to_is_worked_out(desk: Desk) -> None:
    desk.engine.says = "\ny"
    desk.cursor.moved_to(request_at("x = ║\n"))
    assert await desk.settled() == ["x = "]
    assert desk.engine.asked[0].at_rest and not desk.engine.asked[0].ahead
    desk.cursor.moved_to(request_at("na║me = 1\r\nx\r\n"))  # nothing is asked for within a word
    assert await desk.settled() == ["x = ", "name = 1"]
    desk.cursor.moved_to(request_at("║"))
    assert len(await desk.settled()) == 2


async def test_a_cursor_that_passes_by_is_not_followed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_rest, "REST_S", 0.02)
    desk.engine.says = "\nz"
    desk.cursor.moved_to(request_at("x = ║\ny = \n"))
    desk.cursor.moved_to(request_at("x = \ny = ║\n"))
    assert await desk.settled() == ["x = \ny = "]


async def test_where_the_answer_is_known_the_look_ahead_goes_on(desk: Desk) -> None:
    """An editor tells of the cursor after every key, too."""
    desk.engine.known, desk.engine.is_slow = ["x = "], True
    desk.offer("x = ║\n", "1")
    await asyncio.to_thread(desk.engine.begun.wait, 5)
    desk.cursor.moved_to(request_at("x = ║\n"))
    assert not desk.engine.ended.is_set()
    desk.engine.is_slow = False
    assert await desk.settled() == ["x = 1\n"]


async def test_the_line_that_enter_begins_is_worked_out_too(desk: Desk) -> None:
    desk.cursor.moved_to(request_at("if x:║\n    y\n"))
    assert await desk.settled() == ["if x:", "if x:\n    "]
    line = desk.engine.asked[1]
    assert line.ahead and not line.at_rest, "it takes what the line before it was told"


async def test_not_where_code_goes_on_or_the_line_is_empty(desk: Desk) -> None:
    desk.cursor.moved_to(request_at("f(║)\n"))
    assert await desk.settled() == ["f("]
    desk.cursor.moved_to(request_at("f()\n\n║\n"))
    assert await desk.settled() == ["f(", "f()\n\n"]


async def test_a_line_that_is_known_is_worked_out_anew_alone(desk: Desk) -> None:
    desk.engine.known, desk.engine.n_lacking = ["x = 1\n"], 1
    desk.cursor.moved_to(request_at("x = 1║\n"))
    assert await desk.settled() == ["x = 1", "x = 1", "x = 1\n"]


async def test_once_memories_were_made_both_are_worked_out_anew(desk: Desk) -> None:
    desk.engine.n_lacking = 4  # two answers that lack some, and two looks in vain
    desk.cursor.moved_to(request_at("x = 1║\n"))
    place, line = "x = 1", "x = 1\n"
    assert await desk.settled() == [place, line, place, place, place, line]
    assert [each.anew for each in desk.engine.asked] == [False, False, True, True, True, True]


async def test_who_waits_for_memories_in_vain_gives_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_rest, "MOST_LOOKS", 3)
    desk.engine.n_lacking = 99
    desk.cursor.moved_to(request_at("x = 1║\n"))
    assert len(await desk.settled()) == 5


async def test_a_request_ends_the_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_rest, "LOOK_S", 60.0)
    desk.engine.n_lacking = 99
    desk.cursor.moved_to(request_at("x = 1║\n"))
    n_asked = len(await desk.settled())
    monkeypatch.setattr(cursor_rest, "LOOK_S", 0.0)
    desk.ahead.make_way(request_at("x = 12║\n"))
    assert len(await desk.settled()) == n_asked


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


def test_anew_tells_the_memories_that_came_and_waits_for_all() -> None:
    hits = [chunk_hit("lib.py", f"def g{n}(x): pass", n) for n in range(2)]
    view = FakeView(list(hits), ready={hits[0].node.digest})
    says = iter(["f(x)", "g(x)", "h(x)"])
    made = rig(lambda _prompt, _branch: next(says), view, ContextMode.DENSE)
    rest = replace(request_at("a = 1\nx = ║\n"), at_rest=True)
    first = made.engine.prefetch(rest, GO)
    assert first.lacks_memories and [each.text for each in first.suggestions] == ["f(x)"]
    assert made.engine.prefetch(replace(rest, anew=True), GO).lacks_memories
    assert len(made.generator.calls) == 1, "not before all are there"
    view.fuse_all()
    again = made.engine.prefetch(replace(rest, anew=True), GO)
    assert not again.lacks_memories and [each.text for each in again.suggestions] == ["g(x)"]
    assert made.generator.calls[-1].prompt.pseudo_tokens is not None
    key = request_at("a = 1\nx = ║\n")
    assert [each.text for each in made.engine.lookup(key) or ()] == ["g(x)"]
    made.engine.complete(request_at("a = 1\nx = y║\n"), GO)
    told = [call.prompt.pseudo_tokens for call in made.generator.calls[-2:]]
    assert told[0] is not None and told[1] is not None and len(told[0]) == len(told[1])
    assert len(made.retriever.queries) == 1

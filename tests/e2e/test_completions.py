"""Completions over the wire: units, line endings, cancelling, superseding, one answer each."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from conftest import Start
from wire import RpcError, Wire, position, units

from hef_lsp.scheduling import QUIET_BEFORE_S

QUIET = {"completion": {"debounceMs": 0}}
STRANGE = {
    "emoji": ("first = '😀'\n", "note = 'é😀𝒳' + ", "\nlast = 1\n"),
    "crlf": ("first = 1\r\nsecond = '😀'\r\n", "third = '😀' + ", "\r\nlast = 1\r\n"),
    "form feed": ("first = 1\n\x0c\nx = '\x0c'\n", "third = '\x0c😀' + ", "\nlast = 1\n"),
    "line separators": ("# a\u2028b\u2029c\u0085d\x1c\n", "t = '\u2028😀\u0085' + ", "\nlast = 1\n"),
    "old mac": ("first = 1\rsecond = 2\r", "third = '😀' + ", "\rlast = 1"),
    "no last line ending": ("first = 1\n", "third = '😀' + ", ""),
}


def ready(
    start: Start, root: Path, *arguments: str, encoding: str | None = None, options: object = QUIET
) -> Wire:
    wire = start(*arguments)
    offered = {} if encoding is None else {"general": {"positionEncodings": ["utf-7", encoding, "utf-16"]}}
    wire.initialize([root], options, offered)
    wire.settle()
    return wire


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_positions_count_as_the_client_does(start: Start, root: Path, encoding: str) -> None:
    """Edits and cursors in the client's units meet the same text on both sides, whatever it holds."""
    wire = ready(start, root, encoding=encoding)
    assert wire.encoding == encoding
    for name, (above, line, below) in STRANGE.items():
        uri = wire.open((root / f"{name}.py").as_uri(), above + below)
        n_above = above.replace("\r\n", "\n").replace("\r", "\n").count("\n")
        wire.change(uri, (n_above, 0), (n_above, 0), line[:-4])
        end = units(line[:-4], encoding)
        wire.change(uri, (n_above, end), (n_above, end), line[-4:])
        cursor = units(line, encoding)
        (item,) = wire.inline(uri, n_above, cursor)
        assert item["insertText"] == "return total"
        assert item["range"] == {"start": position(n_above, cursor), "end": position(n_above, cursor)}
        prompt = wire.command("stub.tokens")["prompts"][-1]
        expected = (above + line).replace("\r\n", "\n").replace("\r", "\n")
        assert prompt.endswith(expected), f"{name}: {prompt!r} does not end with {expected!r}"
        listed = wire.list(uri, n_above, cursor)
        assert listed["isIncomplete"] is True
        assert listed["items"][0]["textEdit"]["range"]["end"] == position(n_above, cursor)


def test_unknown_or_missing_encodings_mean_utf16(start: Start, root: Path) -> None:
    first, second = start(), start()
    first.initialize([root], None, {"general": {"positionEncodings": ["utf-7"]}})
    second.initialize([root], None, {})
    assert (first.encoding, second.encoding) == ("utf-16", "utf-16")


def test_positions_past_the_end_are_clamped(start: Start, root: Path) -> None:
    wire = ready(start, root)
    uri = wire.open((root / "a.py").as_uri(), "x = 1\ny = ")
    (item,) = wire.inline(uri, 1, 10_000)
    assert item["range"]["start"] == position(1, 4)
    (item,) = wire.inline(uri, 900, 3)
    assert item["range"]["start"] == position(1, 4)


SLOW = ("--delay", "0.05", "--script", "one two three four five six " * 20)
"""A line of 64 tokens, the most of a suggestion: over three seconds, on any machine."""
N_SLOW_TOKENS = 64


def n_tokens(wire: Wire) -> int:
    return int(wire.command("stub.tokens")["tokens"])


def wait_for_tokens(wire: Wire) -> None:
    """Until the generator speaks, so that what follows comes in the middle."""
    while not n_tokens(wire):
        time.sleep(0.01)


def test_cancel_reaches_the_worker(start: Start, root: Path) -> None:
    """-32800, and the generator says no token after the one under way."""
    wire = ready(start, root, *SLOW)
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    running = wire.begin_inline(uri, 0, 4)
    wait_for_tokens(wire)
    wire.notify("$/cancelRequest", {"id": running})
    with pytest.raises(RpcError) as caught:
        wire.result(running)
    assert caught.value.code == -32800
    time.sleep(0.15)
    after = wire.command("stub.tokens")
    assert 0 < after["tokens"] < N_SLOW_TOKENS
    assert after["after_cancel"] <= 1
    time.sleep(0.15)
    assert n_tokens(wire) == after["tokens"], "tokens were computed after the cancel"
    wire.notify("$/cancelRequest", {"id": running})  # too late, and no news
    assert wire.answers[running] == 1


def test_an_edit_stops_the_generation_and_answers_empty(start: Start, root: Path) -> None:
    wire = ready(start, root, *SLOW)
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    running = wire.begin_inline(uri, 0, 4)
    wait_for_tokens(wire)
    wire.change(uri, (0, 4), (0, 4), "q")
    assert wire.result(running) == {"items": []}
    time.sleep(0.15)
    n_then = n_tokens(wire)
    assert n_then < N_SLOW_TOKENS
    time.sleep(0.15)
    assert n_tokens(wire) == n_then


def test_a_newer_request_answers_the_older_at_once(start: Start, root: Path) -> None:
    wire = ready(start, root, options={"completion": {"debounceMs": 2000}})
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    began = time.monotonic()
    older = wire.begin_inline(uri, 0, 4, invoked=False)
    newer = wire.begin_inline(uri, 0, 4, invoked=False)
    assert wire.result(older) == {"items": []}
    assert not wire.answers[newer], "the older one waited for the newer"
    assert wire.result(newer)["items"]
    assert time.monotonic() - began >= 2.0 - QUIET_BEFORE_S
    began = time.monotonic()
    assert wire.inline(uri, 0, 4, invoked=False)
    assert time.monotonic() - began < 2.0, "a stored answer paid the debounce"


def test_list_and_ghost_text_do_not_supersede_each_other(start: Start, root: Path) -> None:
    wire = ready(start, root, "--delay", "0.02")
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    ghost = wire.begin_inline(uri, 0, 4)
    assert wire.list(uri, 0, 4)["items"]
    assert wire.result(ghost)["items"]


def test_policy_is_asked(start: Start, root: Path) -> None:
    wire = ready(start, root)
    uri = wire.open((root / "a.py").as_uri(), "value = nothing")
    assert wire.inline(uri, 0, 10, invoked=False) == []  # inside a word
    assert wire.inline(uri, 0, 15, invoked=False)
    wire.change(uri, (0, 8), (0, 15), "")
    assert wire.inline(uri, 0, 8, invoked=False) == []  # after a deletion
    assert wire.inline(uri, 0, 8)
    wire.notify("workspace/didChangeConfiguration", {"settings": {"hef": {"completion": {"enabled": False}}}})
    assert wire.inline(uri, 0, 8) == []


def test_selected_entry_is_extended(start: Start, root: Path) -> None:
    wire = ready(start, root, "--script", "(left, right)")
    uri = wire.open((root / "a.py").as_uri(), "total = ad")
    info = {"range": {"start": position(0, 8), "end": position(0, 10)}, "text": "add"}
    context = {"triggerKind": 1, "selectedCompletionInfo": info}
    place = {"textDocument": {"uri": uri}, "position": position(0, 10)}
    (item,) = wire.request("textDocument/inlineCompletion", {**place, "context": context})["items"]
    assert item["insertText"] == "add(left, right)"
    assert item["range"] == info["range"]


def test_fifty_interleaved_messages_get_one_answer_each(start: Start, root: Path) -> None:
    rng = random.Random(7)
    wire = ready(start, root, "--delay", "0.002", "--script", "alpha beta gamma delta " * 8)
    uris = [wire.open((root / f"f{i}.py").as_uri(), "x = ") for i in range(3)]
    lengths = dict.fromkeys(uris, 4)
    asked: list[int] = []
    for _ in range(150):
        uri, kind = rng.choice(uris), rng.random()
        if kind < 0.4:
            asked.append(wire.begin_inline(uri, 0, lengths[uri], invoked=rng.random() < 0.5))
        elif kind < 0.7:
            wire.change(uri, (0, lengths[uri]), (0, lengths[uri]), "y")
            lengths[uri] += 1
        elif asked:
            wire.notify("$/cancelRequest", {"id": rng.choice(asked)})
        time.sleep(rng.random() * 0.004)
    n_cancelled = 0
    for number in asked:
        try:
            assert "items" in wire.result(number)
        except RpcError as error:
            assert error.code == -32800
            n_cancelled += 1
    assert len(asked) >= 50
    assert 0 < n_cancelled < len(asked)
    assert wire.inline(uris[0], 0, lengths[uris[0]])  # it still answers, and on the text as it is
    assert wire.command("stub.tokens")["prompts"][-1].endswith("x = " + "y" * (lengths[uris[0]] - 4))
    assert wire.leave() == 0
    assert {number for number, count in wire.answers.items() if count != 1} == set()


def test_what_is_asked_where_the_cursor_was_moved_to_is_ready(start: Start, root: Path) -> None:
    wire = ready(start, root)
    uri = wire.open((root / "a.py").as_uri(), "x = 1\ny = \n")
    wire.notify("hef/cursorMoved", {"textDocument": {"uri": uri}, "position": position(1, 4)})
    deadline_s = time.monotonic() + 20
    while not n_tokens(wire) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert wire.command("hef.explain") is None, "nobody was shown anything yet"
    (item,) = wire.inline(uri, 1, 4, invoked=False)
    assert item["insertText"] == "return total"
    assert wire.command("hef.explain")["source"] == "prefetched"


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"textDocument": {"uri": "file:///not/open.py"}, "position": {"line": 0, "character": 0}},
        {"textDocument": {"uri": "OPEN"}, "position": {"line": -1, "character": 0}},
        {"textDocument": {"uri": "OPEN"}, "position": "here"},
        {"textDocument": {"uri": "OPEN"}, "position": {"line": 10**9, "character": 10**9}},
    ],
)
def test_a_cursor_that_cannot_be_disturbs_nothing(start: Start, root: Path, params: object) -> None:
    wire = ready(start, root)
    uri = wire.open((root / "a.py").as_uri(), "x = 1\ny = ")
    if isinstance(params, dict) and params.get("textDocument") == {"uri": "OPEN"}:
        params = {**params, "textDocument": {"uri": uri}}
    wire.notify("hef/cursorMoved", params)
    (item,) = wire.inline(uri, 1, 4)
    assert item["insertText"] == "return total"

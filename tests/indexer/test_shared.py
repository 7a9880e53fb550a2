"""How much of what stands at the cursor stands in what was found; worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from indexer.hierarchy import Node, NodeKind
from indexer.retriever import Hit, Query
from indexer.shared import LINES_BEFORE, shared_with, worth_telling

AROUND = "open_door(hall)\n  close_window(hall)\nring_bell()\npaint(fence)"
NEAR = "ring_bell()\npaint(fence)"
"""Terms: ring_bell, ring, bell, paint, fence."""


def hit_of(text: str, kind: NodeKind = NodeKind.CHUNK) -> Hit:
    return Hit(Node(f"node:{text}", kind, "b.py", None, f"digest of {text}", (), 1, 0), 1, 1, 1, text, 0, 9)


def shared(*texts: str, near: str = NEAR, around: str = AROUND) -> float:
    query = Query(around, "a.py", (0, 0), 6, ancestors=True, near=near)
    return shared_with(query, [hit_of(text) for text in texts])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([AROUND], 1.0),
        (["def other(thing):\n    return thing"], 0.0),
        ([], 0.0),
        # All names and one of four lines; indentation does not count.
        (["    paint(fence)\nring_bell = 3"], (1 + 1 / 4) / 2),
        # Two of five names, no line.
        (["fence = paint"], (2 / 5) / 2),
        # The best of the hits and not all of them together, each share by itself.
        (["fence = paint", "bell = 1", "open_door(hall)\nclose_window(hall)"], (2 / 5 + 2 / 4) / 2),
    ],
)
def test_the_mean_of_the_share_of_names_and_of_lines(texts: Sequence[str], expected: float) -> None:
    assert shared(*texts) == pytest.approx(expected)


def test_without_lines_nearby_the_names_are_those_of_all_lines() -> None:
    assert shared("hall = fence", near="") == pytest.approx(2 / 12 / 2)


def test_nothing_asked_for_is_shared_with_nothing() -> None:
    assert shared(AROUND, near="", around=" \n") == 0.0
    assert shared(AROUND, near="()\n{}", around="()\n{}") == 0.0


def test_ancestors_have_no_text_to_share() -> None:
    query = Query(AROUND, "a.py", (0, 0), 6, ancestors=True, near=NEAR)
    assert shared_with(query, [hit_of("", NodeKind.FILE)]) == 0.0


@pytest.mark.parametrize(
    ("n_lines", "least", "expected"),
    [
        (LINES_BEFORE, 0.0, True),
        (LINES_BEFORE, 0.2, True),
        (LINES_BEFORE, 0.21, False),
        (LINES_BEFORE, 1.0, False),
        (LINES_BEFORE - 1, 1.0, True),
    ],
)
def test_worth_telling_is_what_shares_enough_and_anything_where_few_lines_are(
    n_lines: int, least: float, expected: bool
) -> None:
    around = "\n".join([*(f"line_{number}()" for number in range(n_lines - 2)), *NEAR.splitlines()])
    query = Query(around, "a.py", (0, 0), 6, ancestors=True, near=NEAR)
    assert worth_telling(query, [hit_of("fence = paint")], least) is expected

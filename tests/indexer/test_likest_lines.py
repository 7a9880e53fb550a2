"""Which lines of other files follow what is like the lines above the cursor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexer.likest_lines import FileLine, LineCounter, likest_lines
from indexer.open_file_memory import OpenFileMemory
from indexer.suffix_index import SuffixIndex, SuffixSnapshot

ORIGIN = """import canvas

def paint(widget, canvas):
    canvas.begin(widget.bounds)
    canvas.fill(widget.colour)

    canvas.stroke(widget.border)
    canvas.end()
"""
OTHER = "".join(f"value_{n} = compute({n})\n" for n in range(30))
COPY = """import canvas

def draw(button, canvas):
    canvas.begin(button.bounds)
    canvas.fill(button.colour)
"""


def encode(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


def memory_of(files: dict[str, str]) -> SuffixSnapshot:
    index = SuffixIndex(10**6)
    index.update({path: np.array(encode(text), dtype=np.int64) for path, text in files.items()})
    return index.snapshot()


def lines_after(prefix: str, files: dict[str, str], path: str = "mine.py") -> tuple[FileLine, ...]:
    own = OpenFileMemory(encode)
    session = own.session(memory_of(files), path, prefix)
    return likest_lines(session, own.above, LineCounter(decode))


def test_the_line_that_followed_in_the_origin_of_a_changed_copy_is_first() -> None:
    files = {"origin.py": ORIGIN, "other.py": OTHER}
    first, *_ = lines_after(COPY, files)
    assert first == FileLine("origin.py", 5)
    assert ORIGIN.split("\n")[first.line :][:2] == ["", "    canvas.stroke(widget.border)"]


def test_what_is_typed_of_the_line_changes_nothing() -> None:
    files = {"origin.py": ORIGIN, "other.py": OTHER}
    assert lines_after(COPY + "    canvas.str", files) == lines_after(COPY, files)
    assert lines_after(COPY + "    ", files) == lines_after(COPY, files)


def test_the_open_file_is_no_other_file() -> None:
    again = COPY + COPY
    assert lines_after(again, {"mine.py": again}) == ()
    assert all(place.path == "origin.py" for place in lines_after(again, {"origin.py": ORIGIN}))


def test_no_line_is_named_twice_and_none_that_is_hardly_alike() -> None:
    found = lines_after(COPY, {"origin.py": ORIGIN, "twice.py": ORIGIN + ORIGIN})
    assert len(set(found)) == len(found) > 0
    assert lines_after("zzz qqq\n", {"origin.py": ORIGIN}) == ()


def test_where_nothing_stands_above_nothing_is_alike() -> None:
    assert lines_after("", {"origin.py": ORIGIN}) == ()
    assert lines_after("import can", {"origin.py": ORIGIN}) == ()


def test_lines_are_counted_as_in_the_text_and_each_token_is_asked_once() -> None:
    texts = {3: "a", 70: "\n", 5: "\n\n  ", 9: "b\n"}
    asked = list[int]()

    def says(ids: Sequence[int]) -> str:
        asked.extend(ids)
        return "".join(texts[one] for one in ids)

    counter = LineCounter(says)
    for ids in ([3], [3, 5, 9, 3], [70, 70, 5], [9]):
        assert counter.count(np.array(ids)) == "".join(texts[one] for one in ids).count("\n")
    assert counter.count(np.zeros(0, dtype=np.int64)) == 0
    assert sorted(asked) == sorted(texts)

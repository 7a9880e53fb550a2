"""Which chunks of the open file stand for its text, on an index of one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import compute_here, fake_bundle

from hef_lsp.chunks_above import LEAST_READ_CHARS, MOST_CHUNKS, chunks_above
from indexer.index import Index, IndexModels, IndexView
from indexer.source_files import FileChange, SourceTree

PATH = "shop.py"
PARTS = [
    f"def price_{n}(items):\n    total = {n}\n    for item in items:\n        total += item\n"
    "    return total\n\n\n"
    for n in range(20)
]
TEXT = "".join(PARTS)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    bundle = fake_bundle()
    models = IndexModels(bundle.embedder, None, bundle.count_tokens, bundle.tokenizer_id, bundle.encode)
    (tmp_path / "work").mkdir()
    tree = SourceTree(tmp_path / "work", (), 1000, 1 << 20)
    made = Index.open(tmp_path / "index", tree, models, compute_here, 1 << 40, 1 << 28)
    try:
        yield made
    finally:
        made.close()


def seen(index: Index, text: str = TEXT) -> IndexView:
    index.updater.apply([FileChange(PATH, text=text)])
    return index.view()


def test_the_nearest_come_first_and_are_the_text_of_their_lines(index: Index) -> None:
    view = seen(index)
    found = chunks_above(view, PATH, TEXT)
    assert len(found) == MOST_CHUNKS
    lines = [chunk.first_line for chunk in found]
    assert lines == sorted(lines, reverse=True)
    texts = view.store.texts([chunk.node.digest for chunk in found])
    for chunk in found:
        assert TEXT[chunk.begin : chunk.end].rstrip("\n") == texts[chunk.node.digest]


def test_something_is_always_left_to_read(index: Index) -> None:
    view = seen(index)
    for n in range(0, len(TEXT), 97):
        ends = [chunk.end for chunk in chunks_above(view, PATH, TEXT[:n])]
        assert all(end <= n - LEAST_READ_CHARS for end in ends)


def test_the_same_chunks_while_a_line_is_typed(index: Index) -> None:
    line = "basket = price_3(items)"
    found = {chunks_above(seen(index, TEXT + line), PATH, TEXT + line[:n]) for n in range(len(line) + 1)}
    assert len(found) == 1


def test_an_edited_chunk_does_not_count_and_those_below_it_do_where_they_moved(index: Index) -> None:
    view = seen(index)
    before = {chunk.node.digest for chunk in chunks_above(view, PATH, TEXT)}
    edited = TEXT.replace("total = 16", "total = 16\n    count = 0")
    found = chunks_above(view, PATH, edited)
    assert "price_16" not in "".join(edited[chunk.begin : chunk.end] for chunk in found)
    # What moved is found once the index has followed.
    after = {chunk.node.digest for chunk in chunks_above(seen(index, edited), PATH, edited)}
    assert len(after & before) >= MOST_CHUNKS - 3


def test_a_file_that_is_not_indexed_has_none(index: Index) -> None:
    assert chunks_above(seen(index), "other.py", TEXT) == ()

"""Hits are fused by rank, never repeat each other or the prompt, and come in one order only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from indexer.chunk import Chunk, make_chunk
from indexer.hierarchy import Hierarchy, Node, NodeKind
from indexer.likest_lines import FileLine
from indexer.retriever import Hit, Query, Retriever, near_text, query_terms, query_text
from model.protocols import FloatArray


class OneKey:
    """An embedder for which every text but a blank one is the same."""

    model_id = "one-key"
    dimension = 2

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.array([[1.0, 0.0] if text.strip(" #") else [0.0, 0.0] for text in texts], dtype=np.float32)


class ListView:
    """A view whose searches answer from lists that the test writes down."""

    def __init__(self, files: Mapping[str, Sequence[str]], ranks: Mapping[str, float] | None = None) -> None:
        self._chunks: dict[str, Chunk] = {}
        for path, texts in files.items():
            line = 0
            for ordinal, text in enumerate(texts):
                end = line + text.count("\n") + 1
                self._chunks[f"chunk:{path}#{ordinal}"] = make_chunk(path, "python", line, end, text, 5)
                line = end
        digests: dict[str, list[str]] = {}
        for chunk in self._chunks.values():
            digests.setdefault(chunk.path, []).append(chunk.digest)
        self.hierarchy = Hierarchy.build(digests)
        self.dense: list[str] = []
        self.lexical: list[str] = []
        self.asked: list[tuple[str, ...]] = []
        self._ranks = ranks or {}

    def chunk(self, node_id: str) -> Chunk:
        return self._chunks[node_id]

    def chunk_at(self, path: str, line: int) -> Node | None:
        for node_id, chunk in self._chunks.items():
            if chunk.path == path and chunk.start_line <= line < chunk.end_line:
                return self.hierarchy.node(node_id)
        return None

    def rank(self, path: str) -> float:
        return self._ranks.get(path, 1.0)

    def search(self, key: FloatArray, k: int) -> list[tuple[Node, float]]:
        return [(self.hierarchy.node(n), 0.9 - 0.01 * place) for place, n in enumerate(self.dense[:k])]

    def search_terms(self, terms: Sequence[str], k: int) -> list[tuple[Node, float]]:
        self.asked.append(tuple(terms))
        return [(self.hierarchy.node(n), 9.0 - place) for place, n in enumerate(self.lexical[:k])]


def hits_of(view: ListView, n_hits: int = 4, ancestors: bool = False, **changes: object) -> list[Hit]:
    fields = {"text": "find_me", "path": "here.py", "excluded": (0, 0), **changes}
    query = Query(n_hits=n_hits, ancestors=ancestors, **fields)  # type: ignore[arg-type]
    return Retriever(OneKey()).retrieve(view, query)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.node.id for hit in hits]


def distinct(n: int) -> list[str]:
    return [f"first_{i} = {i}\nsecond_{i} = {i}" for i in range(n)]


def test_both_searches_count_and_agreement_counts_most() -> None:
    view = ListView({f"{name}.py": [f"text of {name}"] for name in "abc"})
    view.dense = ["chunk:a.py#0", "chunk:b.py#0"]
    view.lexical = ["chunk:c.py#0", "chunk:b.py#0"]
    hits = hits_of(view, path="far/x.py")
    assert ids(hits)[0] == "chunk:b.py#0"
    assert set(ids(hits)) == {"chunk:a.py#0", "chunk:b.py#0", "chunk:c.py#0"}


def test_a_hit_tells_its_scores_text_and_lines() -> None:
    view = ListView({"a.py": ["one = 1", "two = 2\nthree = 3"]})
    view.dense, view.lexical = ["chunk:a.py#1"], []
    (hit,) = hits_of(view)
    assert (hit.text, hit.start_line, hit.end_line) == ("two = 2\nthree = 3", 1, 3)
    assert hit.dense_score == pytest.approx(0.9)
    assert hit.lexical_score == 0.0


def test_at_most_n_hits_and_none_for_nothing() -> None:
    view = ListView({"a.py": distinct(10)})
    view.dense = [f"chunk:a.py#{i}" for i in range(10)]
    assert len(hits_of(view, n_hits=3)) == 3
    assert hits_of(view, n_hits=0) == []
    assert hits_of(view, text=" \n") == []
    assert hits_of(ListView({})) == []


def test_a_query_without_words_or_key_asks_nothing() -> None:
    view = ListView({"a.py": distinct(2)})
    view.dense, view.lexical = ["chunk:a.py#0"], ["chunk:a.py#1"]
    assert hits_of(view, text="###") == []
    assert view.asked == []


def test_generated_files_fall_behind_ordinary_ones() -> None:
    view = ListView({"gen.py": ["made = 1"], "hand.py": ["written = 1"]}, ranks={"gen.py": 0.5})
    view.dense = ["chunk:gen.py#0", "chunk:hand.py#0"]
    assert ids(hits_of(view)) == ["chunk:hand.py#0", "chunk:gen.py#0"]


def test_the_same_folder_wins_over_a_neighbouring_place() -> None:
    view = ListView({"x/a.py": ["one = 1"], "y/b.py": ["two = 2"]})
    view.dense = ["chunk:x/a.py#0", "chunk:y/b.py#0"]
    assert ids(hits_of(view, path="y/here.py")) == ["chunk:y/b.py#0", "chunk:x/a.py#0"]


def test_the_excluded_lines_are_never_retrieved() -> None:
    view = ListView({"here.py": distinct(6)})
    view.dense = [f"chunk:here.py#{i}" for i in range(6)]
    # Each chunk has two lines: lines 3 to 7 touch the chunks 1, 2 and 3.
    assert set(ids(hits_of(view, n_hits=9, excluded=(3, 8)))) == {f"chunk:here.py#{i}" for i in (0, 4, 5)}


def test_what_stands_in_the_query_is_not_retrieved_from_its_own_file_though_lines_moved() -> None:
    view = ListView({"here.py": distinct(2), "copy.py": [distinct(1)[0] + "\nthird = 3"]})
    view.dense = ["chunk:here.py#0", "chunk:here.py#1", "chunk:copy.py#0"]
    hits = hits_of(view, text=distinct(1)[0], excluded=(90, 99))
    assert ids(hits) == ["chunk:here.py#1", "chunk:copy.py#0"]


def test_same_text_and_nearly_same_text_come_once() -> None:
    body = "\n".join(f"line_{i} = {i}" for i in range(10))
    view = ListView(
        {
            "a.py": [body],
            "b.py": [body],
            "c.py": [body.replace("line_3 = 3", "line_3 = 4")],
            "d.py": ["other = 1"],
        }
    )
    view.dense = [f"chunk:{name}.py#0" for name in "abcd"]
    assert ids(hits_of(view)) == ["chunk:a.py#0", "chunk:d.py#0"]


def test_equal_scores_are_ordered_by_id_whatever_the_order_of_the_answers() -> None:
    view = ListView({f"{name}.py": [f"text of {name}"] for name in "abcd"})
    view.dense, view.lexical = ["chunk:a.py#0", "chunk:b.py#0"], ["chunk:b.py#0", "chunk:a.py#0"]
    first = hits_of(view)
    view.dense, view.lexical = view.lexical, view.dense
    assert ids(hits_of(view)) == ids(first) == ["chunk:a.py#0", "chunk:b.py#0"]


def test_both_widths_of_the_query_are_searched_and_agreement_counts() -> None:
    view = ListView({f"{name}.py": [f"text of {name}"] for name in "abc"})
    a, b, c = (f"chunk:{name}.py#0" for name in "abc")
    answers = {("wide_words",): [a, b], ("near_words",): [c, b]}
    plain = view.search_terms

    def search_terms(terms: Sequence[str], k: int) -> list[tuple[Node, float]]:
        view.lexical = answers[tuple(term for term in terms if "_" in term)]
        return plain(terms, k)

    view.search_terms = search_terms  # type: ignore[method-assign]
    hits = hits_of(view, text="wide_words", near="near_words")
    assert ids(hits) == [b, a, c]
    assert len(view.asked) == 2
    hits_of(view, text="wide_words", near="wide_words")
    assert len(view.asked) == 3, "the same text is searched once"


def test_a_chunk_where_one_stands_as_at_the_cursor_counts_as_much_as_three_lists() -> None:
    view = ListView({f"{name}.py": [f"text of {name}"] for name in "abcd"})
    a, b, c, d = (f"chunk:{name}.py#0" for name in "abcd")
    view.dense, view.lexical = [a, b], [a, c]
    alike = (FileLine("d.py", 0), FileLine("c.py", 0), FileLine("d.py", 0), FileLine("gone.py", 7))
    hits = hits_of(view, path="far/x.py", alike=alike)
    assert ids(hits) == [c, d, a, b]
    assert (hits[1].dense_score, hits[1].lexical_score) == (0.0, 0.0)
    assert [hit.alike for hit in hits] == [True, True, False, False]
    assert hits_of(view, path="d.py", excluded=(0, 1), alike=alike[:1])[0].node.id == a, "it is in the prompt"


# Ancestors.


@pytest.fixture
def tree() -> ListView:
    files: dict[str, list[str]] = {f"wide/f{i}.py": [f"wide_{i} = {i}"] for i in range(40)}
    return ListView(
        {**files, "narrow/a.py": distinct(3), "narrow/b.py": ["beside = 1"], "here.py": distinct(30)}
    )


def test_no_ancestors_unless_asked_for(tree: ListView) -> None:
    tree.dense = ["file:narrow/a.py", "chunk:narrow/b.py#0"]
    assert ids(hits_of(tree)) == ["chunk:narrow/b.py#0"]


def test_ancestors_have_no_text_and_are_at_most_a_third(tree: ListView) -> None:
    tree.dense = [
        "file:narrow/a.py",
        "directory:wide",
        "repository:",
        "chunk:narrow/b.py#0",
        "chunk:wide/f1.py#0",
    ]
    hits = hits_of(tree, n_hits=6, ancestors=True)
    assert [hit.node.kind for hit in hits].count(NodeKind.CHUNK) == 2
    assert len(hits) == 4
    assert all(hit.text == "" for hit in hits if hit.node.kind != NodeKind.CHUNK)
    assert not any(hit.node.kind != NodeKind.CHUNK for hit in hits_of(tree, n_hits=2, ancestors=True))


def test_a_small_ancestor_and_a_chunk_below_it_do_not_stand_together(tree: ListView) -> None:
    tree.dense = ["file:narrow/a.py", "chunk:narrow/a.py#0", "chunk:narrow/b.py#0"]
    assert ids(hits_of(tree, ancestors=True)) == ["file:narrow/a.py", "chunk:narrow/b.py#0"]
    tree.dense = ["chunk:narrow/a.py#0", "file:narrow/a.py", "directory:narrow"]
    assert ids(hits_of(tree, ancestors=True)) == ["chunk:narrow/a.py#0"]


def test_a_broad_ancestor_may_stand_beside_a_chunk_below_it(tree: ListView) -> None:
    tree.dense = ["directory:wide", "chunk:wide/f1.py#0"]
    assert ids(hits_of(tree, ancestors=True)) == ["directory:wide", "chunk:wide/f1.py#0"]


def test_the_edited_file_and_its_groups_are_never_hits(tree: ListView) -> None:
    own = [
        node.id for node in tree.hierarchy.nodes() if node.path == "here.py" and node.kind != NodeKind.CHUNK
    ]
    assert any(node_id.startswith("group:") for node_id in own), "the file is large enough to have groups"
    tree.dense = [*own, "directory:wide"]
    assert ids(hits_of(tree, n_hits=9, ancestors=True)) == ["directory:wide"]


# The query.


def test_query_text_is_the_lines_around_the_cursor() -> None:
    prefix = "".join(f"before {i}\n\n" for i in range(50)) + "x = ca"
    text = query_text(prefix, "ll()\nafter 1\n\nafter 2\nafter 3\nafter 4\n")
    lines = text.split("\n")
    assert lines[0] == "before 41"
    assert lines[9] == "x = ca"
    assert lines[10:] == ["ll()", "after 1", "after 2", "after 3"]
    assert near_text(prefix, "ll()\nafter 1\n") == "before 49\nx = ca\nll()"


def test_query_text_of_huge_and_empty_input() -> None:
    assert query_text("", "") == ""
    assert len(query_text("x" * 5_000_000, "y" * 5_000_000)) < 1000


def test_query_terms_are_distinct_and_begin_at_the_end() -> None:
    assert query_terms("load(config)\nsave(config, target)") == ["target", "config", "save", "load"]
    assert len(query_terms(" ".join(f"name{i}" for i in range(500)))) == 32

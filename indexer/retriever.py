"""What of the workspace is worth showing the generator: from a query to a few hits, best first.

Owns the fusion of dense and lexical search and what may stand beside what. Searching is
the view's, words are `indexer.lexicon`, ranks of files `indexer.quality`. Reads one
immutable view; called in the inference lane, since it asks the embedder.

The two lists are fused by reciprocal rank, not by score: cosines of pooled embeddings lie
in a narrow band that differs from model to model, and BM25 has no upper end, so any scale
between them would have to be tuned anew for each embedder. Ranks need no scale.

A query has two widths, both searched and fused: the few lines at the cursor name what comes
next, the lines around them say what it is about. With one query of 20 lines the first drowns
in the second (measured on completions that need other files: a quarter fewer of the
identifiers wanted are found).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from indexer.chunk import Chunk
from indexer.hierarchy import Hierarchy, Node, NodeKind
from indexer.lexicon import identifier_terms
from indexer.likest_lines import FileLine
from indexer.shared import LINES_BEFORE, line_set
from model.protocols import Embedder, FloatArray

Found = list[tuple[Node, float]]

# Cormack, Clarke and Büttcher 2009: 60 damps the first places enough that all lists count.
_RANK_OFFSET = 60
# Each search is asked for this many times the hits wanted, for what selection takes away.
_POOL = 8
_LEAST_POOL = 48
# Most words of a query that are looked up; the cost of BM25 grows with each.
_MOST_TERMS = 32
_SAME_FOLDER = 1.1
# Lines where one stands as at the cursor count as much as so many lists; 2 to 4 find the target line in as
# many prompts (docs/log.md, 2026-11-28).
_ALIKE = 3.0
# Two texts that share this much of the lines of the shorter are one to the reader.
_NEAR_DUPLICATE = 0.8
# A chunk of the file being edited with this much of its lines in the query is in the prompt already.
_IN_PROMPT = 0.5
# An ancestor may stand beside a chunk below it only if it stands for this many chunks.
_BROAD = 16

# Lines before and after the cursor; chosen on development data among 1+1 to 40+10.
_WIDE = (LINES_BEFORE, 4)
_NEAR = (2, 1)
_MOST_LINE_CHARACTERS = 400
_MOST_CHARACTERS = 16_384


@dataclass(frozen=True)
class Query:
    """`excluded`: lines [a, b) of `path` that are in the prompt or being edited.

    `text` is what `query_text` gives, `near` what `near_text` gives; without `near` only
    `text` is searched. `alike` are lines of other files where one stands as at the cursor,
    the likest first (`indexer.likest_lines`).
    """

    text: str
    path: str
    excluded: tuple[int, int]
    n_hits: int
    ancestors: bool
    near: str = ""
    alike: tuple[FileLine, ...] = ()


@dataclass(frozen=True)
class Hit:
    """A node worth showing. Ancestors have no text and no lines of their own (0, 0).

    `score` orders the hits; `dense_score` is the cosine and `lexical_score` the BM25 value,
    0.0 where that search did not find the node. `alike`: one stands there as at the cursor.
    """

    node: Node
    score: float
    dense_score: float
    lexical_score: float
    text: str
    start_line: int
    end_line: int
    alike: bool = False


class RetrievalView(Protocol):
    """What the retriever asks of an `IndexView`."""

    @property
    def hierarchy(self) -> Hierarchy: ...

    def chunk(self, node_id: str) -> Chunk: ...

    def rank(self, path: str) -> float: ...

    def search(self, key: FloatArray, k: int) -> Found: ...

    def search_terms(self, terms: Sequence[str], k: int) -> Found: ...

    def chunk_at(self, path: str, line: int) -> Node | None: ...


@dataclass(frozen=True)
class _Candidate:
    node: Node
    score: float
    dense_score: float
    lexical_score: float
    alike: bool


@dataclass(frozen=True)
class _Searched:
    """What the dense and the lexical search found for each width of the query, and the chunks alike."""

    dense: Sequence[Found]
    lexical: Sequence[Found]
    alike: Sequence[Node]


class Retriever:
    """Holds nothing but the embedder: the same view and query always give the same hits."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def retrieve(self, view: RetrievalView, query: Query) -> list[Hit]:
        """At most `query.n_hits` hits, best first; none overlaps another or the excluded lines."""
        if query.n_hits <= 0 or not query.text.strip():
            return []
        return _Selection(view, query).take(_fuse(view, query.path, self._search(view, query)))

    def _search(self, view: RetrievalView, query: Query) -> _Searched:
        pool = max(_LEAST_POOL, _POOL * query.n_hits)
        texts = [text for text in dict.fromkeys((query.text, query.near)) if text.strip()]
        dense = [view.search(key, pool) for key in self._embedder.embed(texts) if key.any()]
        lexical = [view.search_terms(terms, pool) for terms in map(query_terms, texts) if terms]
        nodes = (view.chunk_at(place.path, place.line) for place in query.alike)
        alike = {node.id: node for node in nodes if node is not None}
        return _Searched(dense, lexical, tuple(alike.values()))


def query_text(prefix: str, suffix: str) -> str:
    """What to search with: the lines just before the cursor and a few after it, blank ones left out."""
    return _around_cursor(prefix, suffix, *_WIDE)


def near_text(prefix: str, suffix: str) -> str:
    """The same, of the few lines that name what comes next."""
    return _around_cursor(prefix, suffix, *_NEAR)


def _around_cursor(prefix: str, suffix: str, n_before: int, n_after: int) -> str:
    # Cut first, so that a file of megabytes costs no more than a small one.
    before = [line for line in prefix[-_MOST_CHARACTERS:].splitlines() if line.strip()]
    after = [line for line in suffix[:_MOST_CHARACTERS].splitlines() if line.strip()]
    return "\n".join(line[:_MOST_LINE_CHARACTERS] for line in before[-n_before:] + after[:n_after])


def query_terms(text: str) -> list[str]:
    """The distinct terms of `text`, the last ones first, for they are nearest to the cursor."""
    return list(dict.fromkeys(reversed(identifier_terms(text))))[:_MOST_TERMS]


def _fuse(view: RetrievalView, own_path: str, searched: _Searched) -> list[_Candidate]:
    """All lists as one, best first; equal scores are ordered by id."""
    by_score = (*searched.dense, *searched.lexical)
    nodes = {node.id: node for found in by_score for node, _ in found}
    nodes |= {node.id: node for node in searched.alike}
    dense_scores, lexical_scores = _best_scores(searched.dense), _best_scores(searched.lexical)
    fused = dict.fromkeys(nodes, 0.0)
    for found in by_score:
        ordered = sorted(found, key=lambda pair: (-pair[1], pair[0].id))
        for place, (node, _) in enumerate(ordered, 1):
            fused[node.id] += 1.0 / (_RANK_OFFSET + place)
    for place, node in enumerate(searched.alike, 1):
        fused[node.id] += _ALIKE / (_RANK_OFFSET + place)
    folder = own_path.rpartition("/")[0]
    candidates = [
        _Candidate(
            node,
            fused[node_id] * _weight(view, node, folder),
            dense_scores.get(node_id, 0.0),
            lexical_scores.get(node_id, 0.0),
            node in searched.alike,
        )
        for node_id, node in nodes.items()
    ]
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.node.id))


def _best_scores(lists: Sequence[Found]) -> dict[str, float]:
    best: dict[str, float] = {}
    for node, score in (pair for found in lists for pair in found):
        best[node.id] = max(score, best.get(node.id, score))
    return best


def _weight(view: RetrievalView, node: Node, folder: str) -> float:
    """The rank of a file, a little more in the folder of the file being edited; 1 for wider nodes."""
    if node.kind not in (NodeKind.CHUNK, NodeKind.FILE):
        return 1.0
    return view.rank(node.path) * (_SAME_FOLDER if node.path.rpartition("/")[0] == folder else 1.0)


class _Selection:
    """Takes candidates, best first, unless they repeat what is taken or in the prompt."""

    def __init__(self, view: RetrievalView, query: Query) -> None:
        self._view = view
        self._query = query
        self._query_lines = line_set(query.text) | line_set(query.near)
        self._hits: list[Hit] = []
        self._n_ancestors = 0
        self._digests: set[str] = set()
        self._texts: list[frozenset[str]] = []

    def take(self, candidates: Sequence[_Candidate]) -> list[Hit]:
        for candidate in candidates:
            if len(self._hits) == self._query.n_hits:
                break
            hit = (
                self._chunk(candidate) if candidate.node.kind == NodeKind.CHUNK else self._ancestor(candidate)
            )
            if hit is not None:
                self._hits.append(hit)
        return self._hits

    def _ancestor(self, candidate: _Candidate) -> Hit | None:
        """At most a third of the hits: an ancestor tells little of much."""
        node = candidate.node
        if not self._query.ancestors or self._n_ancestors >= self._query.n_hits // 3:
            return None
        if node.path == self._query.path and node.kind in (NodeKind.FILE, NodeKind.GROUP):
            return None
        if not all(self._may_stand_together(hit.node, node) for hit in self._hits):
            return None
        self._n_ancestors += 1
        return Hit(node, candidate.score, candidate.dense_score, candidate.lexical_score, "", 0, 0)

    def _chunk(self, candidate: _Candidate) -> Hit | None:
        node = candidate.node
        if node.digest in self._digests or not all(
            self._may_stand_together(node, hit.node) for hit in self._hits if hit.node.kind != NodeKind.CHUNK
        ):
            return None
        chunk = self._view.chunk(node.id)
        if self._is_in_prompt(chunk) or any(_overlap(hit, chunk) for hit in self._hits):
            return None
        lines = line_set(chunk.text)
        if any(_share(lines, other) >= _NEAR_DUPLICATE for other in self._texts):
            return None
        self._digests.add(node.digest)
        self._texts.append(lines)
        return Hit(
            node,
            candidate.score,
            candidate.dense_score,
            candidate.lexical_score,
            chunk.text,
            chunk.start_line,
            chunk.end_line,
            candidate.alike,
        )

    def _may_stand_together(self, one: Node, other: Node) -> bool:
        """False if one lies below the other and the upper one stands for little besides."""
        for lower, upper in ((one, other), (other, one)):
            if upper.kind != NodeKind.CHUNK and upper.n_chunks <= _BROAD:
                above = self._view.hierarchy.ancestors(lower.id)
                if any(ancestor.id == upper.id for ancestor in above):
                    return False
        return True

    def _is_in_prompt(self, chunk: Chunk) -> bool:
        """By its lines, and by its text too: the index may lag behind the lines of the editor."""
        if chunk.path != self._query.path:
            return False
        start, end = self._query.excluded
        if chunk.start_line < end and start < chunk.end_line:
            return True
        lines = line_set(chunk.text)
        return bool(lines) and len(lines & self._query_lines) >= _IN_PROMPT * len(lines)


def _overlap(hit: Hit, chunk: Chunk) -> bool:
    return (
        hit.node.path == chunk.path
        and hit.node.kind == NodeKind.CHUNK
        and hit.start_line < chunk.end_line
        and chunk.start_line < hit.end_line
    )


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    """How much of the shorter text stands in the longer."""
    shorter = min(len(one), len(other))
    return len(one & other) / shorter if shorter else 0.0

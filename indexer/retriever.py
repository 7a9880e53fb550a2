"""What of the workspace is worth showing the generator: from a query to a few hits, best first.

Owns the fusion of dense and lexical search and what may stand beside what. Searching is
the view's, words are `indexer.lexicon`, ranks of files `indexer.quality`. Reads one
immutable view; called in the inference lane, since it asks the embedder.

The two lists are fused by reciprocal rank, not by score: cosines of pooled embeddings lie
in a narrow band that differs from model to model, and BM25 has no upper end, so any scale
between them would have to be tuned anew for each embedder. Ranks need no scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from indexer.chunk import Chunk
from indexer.hierarchy import Hierarchy, Node, NodeKind
from indexer.lexicon import identifier_terms
from model.protocols import Embedder, FloatArray

# Cormack, Clarke and Büttcher 2009: 60 damps the first places enough that both lists count.
_RANK_OFFSET = 60
_DENSE_WEIGHT = 1.0
_LEXICAL_WEIGHT = 1.0
# Each search is asked for this many times the hits wanted, for what selection takes away.
_POOL = 8
_LEAST_POOL = 48
# Most words of a query that are looked up; the cost of BM25 grows with each.
_MOST_TERMS = 32
_SAME_FOLDER = 1.1
# Two texts that share this much of the lines of the shorter are one to the reader.
_NEAR_DUPLICATE = 0.8
# A chunk of the file being edited with this much of its lines in the query is in the prompt already.
_IN_PROMPT = 0.5
# An ancestor may stand beside a chunk below it only if it stands for this many chunks.
_BROAD = 16

_QUERY_LINES_BEFORE = 20
_QUERY_LINES_AFTER = 4
_MOST_LINE_CHARACTERS = 400
_MOST_CHARACTERS = 16_384


@dataclass(frozen=True)
class Query:
    """`excluded`: lines [a, b) of `path` that are in the prompt or being edited."""

    text: str
    path: str
    excluded: tuple[int, int]
    n_hits: int
    ancestors: bool


@dataclass(frozen=True)
class Hit:
    """A node worth showing. Ancestors have no text and no lines of their own (0, 0).

    `score` orders the hits; `dense_score` is the cosine and `lexical_score` the BM25 value,
    0.0 where that search did not find the node.
    """

    node: Node
    score: float
    dense_score: float
    lexical_score: float
    text: str
    start_line: int
    end_line: int


class RetrievalView(Protocol):
    """What the retriever asks of an `IndexView`."""

    @property
    def hierarchy(self) -> Hierarchy: ...

    def chunk(self, node_id: str) -> Chunk: ...

    def rank(self, path: str) -> float: ...

    def search(self, key: FloatArray, k: int) -> list[tuple[Node, float]]: ...

    def search_terms(self, terms: Sequence[str], k: int) -> list[tuple[Node, float]]: ...


@dataclass(frozen=True)
class _Candidate:
    node: Node
    score: float
    dense_score: float
    lexical_score: float


class Retriever:
    """Holds nothing but the embedder: the same view and query always give the same hits."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def retrieve(self, view: RetrievalView, query: Query) -> list[Hit]:
        """At most `query.n_hits` hits, best first; none overlaps another or the excluded lines."""
        if query.n_hits <= 0 or not query.text.strip():
            return []
        pool = max(_LEAST_POOL, _POOL * query.n_hits)
        key = self._embedder.embed([query.text])[0]
        dense = view.search(key, pool) if key.any() else []
        terms = query_terms(query.text)
        lexical = view.search_terms(terms, pool) if terms else []
        return _Selection(view, query).take(_fuse(view, query, dense, lexical))


def query_text(prefix: str, suffix: str) -> str:
    """What to search with: the lines just before the cursor and a few after it, blank ones left out."""
    # Cut first, so that a file of megabytes costs no more than a small one.
    before = [line for line in prefix[-_MOST_CHARACTERS:].splitlines() if line.strip()]
    after = [line for line in suffix[:_MOST_CHARACTERS].splitlines() if line.strip()]
    lines = [*before[-_QUERY_LINES_BEFORE:], *after[:_QUERY_LINES_AFTER]]
    return "\n".join(line[:_MOST_LINE_CHARACTERS] for line in lines)


def query_terms(text: str) -> list[str]:
    """The distinct terms of `text`, the last ones first, for they are nearest to the cursor."""
    return list(dict.fromkeys(reversed(identifier_terms(text))))[:_MOST_TERMS]


def _fuse(
    view: RetrievalView,
    query: Query,
    dense: Sequence[tuple[Node, float]],
    lexical: Sequence[tuple[Node, float]],
) -> list[_Candidate]:
    """Both lists as one, best first; equal scores are ordered by id."""
    nodes = {node.id: node for node, _ in (*dense, *lexical)}
    dense_scores, lexical_scores = ({n.id: score for n, score in found} for found in (dense, lexical))
    places = (_reciprocal_ranks(dense), _reciprocal_ranks(lexical))
    folder = query.path.rpartition("/")[0]
    candidates = []
    for node_id, node in nodes.items():
        score = _DENSE_WEIGHT * places[0].get(node_id, 0.0) + _LEXICAL_WEIGHT * places[1].get(node_id, 0.0)
        if node.kind in (NodeKind.CHUNK, NodeKind.FILE):
            score *= view.rank(node.path)
            if node.path.rpartition("/")[0] == folder:
                score *= _SAME_FOLDER
        candidates.append(
            _Candidate(node, score, dense_scores.get(node_id, 0.0), lexical_scores.get(node_id, 0.0))
        )
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.node.id))


def _reciprocal_ranks(found: Sequence[tuple[Node, float]]) -> Mapping[str, float]:
    ordered = sorted(found, key=lambda pair: (-pair[1], pair[0].id))
    return {node.id: 1.0 / (_RANK_OFFSET + place) for place, (node, _) in enumerate(ordered, 1)}


class _Selection:
    """Takes candidates, best first, unless they repeat what is taken or in the prompt."""

    def __init__(self, view: RetrievalView, query: Query) -> None:
        self._view = view
        self._query = query
        self._query_lines = _line_set(query.text)
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
        lines = _line_set(chunk.text)
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
        lines = _line_set(chunk.text)
        return bool(lines) and len(lines & self._query_lines) >= _IN_PROMPT * len(lines)


def _overlap(hit: Hit, chunk: Chunk) -> bool:
    return (
        hit.node.path == chunk.path
        and hit.node.kind == NodeKind.CHUNK
        and hit.start_line < chunk.end_line
        and chunk.start_line < hit.end_line
    )


def _line_set(text: str) -> frozenset[str]:
    return frozenset(line.strip() for line in text.splitlines() if line.strip())


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    """How much of the shorter text stands in the longer."""
    shorter = min(len(one), len(other))
    return len(one & other) / shorter if shorter else 0.0

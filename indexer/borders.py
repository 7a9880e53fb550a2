"""Where a file may be cut: the lines at which a syntax node begins, and how good a cut each is.

Owns the walk over the syntax tree. Which of the borders become chunk borders is
`indexer.chunker`. A line is a border if a node begins on it and all nodes before it have
ended, so a cut never falls inside a node that fits a chunk.

Only nodes larger than half a chunk are opened, so tokens and small expressions are never
touched. Borders inside a node that fits a chunk are never strong: they serve when the cut
before it would leave too small a chunk. Errors need no care of their own: tree-sitter keeps
the sound parts as children of the error, and these give borders like all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tree_sitter import Node

from indexer.grammars import Grammar, parse

# Borders that only the length of a piece calls for, not the syntax.
LINE_LEVEL = 1_000_000
# At the top of a file a statement this long deserves a chunk of its own as much as a definition.
_LONG_STATEMENT_LINES = 3
# Nodes that belong to what follows them, like a comment.
_ATTACHED = frozenset({"attribute_item", "decorator", "attribute_list", "marker_annotation", "annotation"})
# Bodies that begin on a line of their own: the cut before their first line parts it from the header.
_BODIES = frozenset({"block", "body_statement", "declaration_list", "statement_block", "class_body"})


@dataclass(frozen=True)
class Border:
    """`level` is the depth in the tree, 0 for the file's own statements.

    `strong`: a definition begins here, or has just ended.
    """

    level: int
    strong: bool


def syntax_borders(
    grammar: Grammar, lines: Sequence[str], cost: Sequence[int], max_tokens: int
) -> dict[int, Border]:
    """The borders by line, counted from 0; empty if the text cannot be parsed in time.

    `cost[i]` is the number of tokens in the lines before line i.
    """
    tree = parse(grammar, "\n".join(lines))
    borders: dict[int, Border] = {}
    if tree is None:
        return borders
    walk = _Walk(borders, grammar.definitions, level=0, end=-1, weak=False)
    stack = walk.over(tree.root_node)
    while stack:
        node, level = stack.pop()
        first, last = _rows(node)
        n_tokens = cost[last + 1] - cost[first]
        if last > first and n_tokens > max_tokens // 2:
            # The first line of the node was judged when its parent was walked.
            walk = _Walk(borders, grammar.definitions, level, end=first, weak=n_tokens <= max_tokens)
            stack.extend(walk.over(node))
    return borders


class _Walk:
    """Over one node's children, in order; adds the borders between them.

    `end` is the last line taken so far; `weak` says that no border here shall be strong.
    """

    def __init__(
        self, borders: dict[int, Border], definitions: frozenset[str], level: int, end: int, weak: bool
    ) -> None:
        self._borders = borders
        self._definitions = definitions
        self._level = level
        self._end = end
        self._weak = weak
        self._run_start: int | None = None
        self._after_definition = False

    def over(self, node: Node) -> list[tuple[Node, int]]:
        """The children that have children, with the level of theirs."""
        below = self._level + (node.type != "ERROR")
        inner = []
        for place, child in enumerate(node.children):
            first, last = _rows(child)
            if first > self._end:
                self._begin(child, first, last)
            elif place == 0 and _is_attached(child):
                # A decorator or attribute that opens its node: no border parts it from the rest.
                self._run_start = first
            self._end = max(self._end, last)
            if child.child_count:
                inner.append((child, below))
        return inner

    def _begin(self, child: Node, first: int, last: int) -> None:
        """`child` begins on a fresh line: a border, or a part of what the comments above it opened."""
        attached = self._run_start is not None and first == self._end + 1
        start = self._run_start if attached and self._run_start is not None else first
        if _is_attached(child):
            self._run_start = start
            self._add(start, strong=self._after_definition)
            self._after_definition = False
        else:
            self._run_start = None
            definition = self._is_definition(child, last - first + 1)
            self._add(start, strong=definition or self._after_definition, body=child.type in _BODIES)
            self._after_definition = definition

    def _is_definition(self, child: Node, n_lines: int) -> bool:
        if n_lines > 1 and child.type in self._definitions:
            return True
        return self._level == 0 and n_lines >= _LONG_STATEMENT_LINES and child.type != "ERROR"

    def _add(self, line: int, strong: bool, body: bool = False) -> None:
        level, strong = self._level + body, strong and not self._weak
        old = self._borders.get(line)
        if old is not None:
            level, strong = min(level, old.level), strong or old.strong
        self._borders[line] = Border(level, strong)


def _is_attached(node: Node) -> bool:
    return "comment" in node.type or node.type in _ATTACHED


def _rows(node: Node) -> tuple[int, int]:
    """First and last line of a node; one that ends before column 0 ended on the line before."""
    start, end = node.start_point, node.end_point
    return start.row, max(start.row, end.row - (end.column == 0))

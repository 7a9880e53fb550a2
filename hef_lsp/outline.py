"""The tree of a folder's index as an editor draws it: directories, files, chunks, and which are fused.

Owns what is shown of it. The groups that keep families small are no places of the workspace, so what
they hold is shown in their stead. Any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from indexer.hierarchy import Node
    from indexer.view import IndexView

MOST_CHILDREN = 200
"""Shown of one node; an editor's page draws no more at a glance."""

Memory = Literal["fused", "waiting", "none"]
"""Has its vectors, waits for them, or nothing is fused at all."""


@dataclass(frozen=True)
class OutlineNode:
    """One place. `children` is None where they were not asked for; lines are those of a chunk, from 0.

    `n_left_out` children are not shown. A new `digest` means that something in it changed.
    """

    id: str
    kind: str
    name: str
    path: str
    start_line: int
    end_line: int
    digest: str
    n_chunks: int
    memory: Memory
    n_left_out: int
    children: tuple[OutlineNode, ...] | None


def outline(view: IndexView, opened: Collection[str]) -> OutlineNode:
    """The repository's node, with its children and those of the nodes whose ids are `opened`."""
    return _Outliner(view, [view.hierarchy.root.id, *opened]).draw(view.hierarchy.root)


class _Outliner:
    """Reads one generation; asks the store once for each family."""

    def __init__(self, view: IndexView, opened: Collection[str]) -> None:
        self._view, self._opened = view, frozenset(opened)

    def draw(self, top: Node) -> OutlineNode:
        return self._drawn(top, self._view.fused([top.digest]))

    def _drawn(self, node: Node, fused: Collection[str]) -> OutlineNode:
        children, n_left_out = self._family(node) if node.id in self._opened else (None, 0)
        start, end = self._lines(node)
        memory: Memory = "none" if self._view.fuser_id is None else "waiting"
        return OutlineNode(
            id=node.id,
            kind=node.kind.name.lower(),
            name=self._name(node, start, end),
            path=node.path,
            start_line=start,
            end_line=end,
            digest=node.digest,
            n_chunks=node.n_chunks,
            memory="fused" if node.digest in fused else memory,
            n_left_out=n_left_out,
            children=children,
        )

    def _family(self, node: Node) -> tuple[tuple[OutlineNode, ...], int]:
        ids = sorted(self._places_in(node), key=_order)
        shown = [self._view.hierarchy.node(node_id) for node_id in ids[:MOST_CHILDREN]]
        fused = self._view.fused([child.digest for child in shown])
        return tuple(self._drawn(child, fused) for child in shown), len(ids) - len(shown)

    def _places_in(self, node: Node) -> Iterator[str]:
        for child in node.children:
            if child.startswith("group:"):
                yield from self._places_in(self._view.hierarchy.node(child))
            else:
                yield child

    def _lines(self, node: Node) -> tuple[int, int]:
        kind, _, place = node.id.partition(":")
        if kind != "chunk":
            return 0, 0
        start, end, _ = self._view.files[node.path].spans[int(place.rpartition("#")[2])]
        return int(start), int(end)

    def _name(self, node: Node, start: int, end: int) -> str:
        if node.id.startswith("chunk:"):
            return f"lines {start + 1} to {end}"
        return node.path.rpartition("/")[2]


def _order(node_id: str) -> tuple[int, int, str]:
    """Directories, then files, each by name; chunks as they stand."""
    kind, _, place = node_id.partition(":")
    if kind == "chunk":
        return 2, int(place.rpartition("#")[2]), ""
    return (0 if kind == "directory" else 1), 0, place.lower()

"""The nodes of one file or one directory, and how a large family is split into groups.

Owns `Node`, its digest, and both rules of splitting. The tree that families make is
`indexer.hierarchy`. Both rules look at content, not at position: the chunks of a file are cut into
runs where a chunk's own digest says so, the children of a directory hang in a radix trie over the
hash of their names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from indexer.chunk import digest_of

REPOSITORY_ID: Final = "repository:"
MAX_CHILDREN: Final = 16
SHORTEST_RUN: Final = 4
"""Runs shorter than this are not ended by a digest."""
RUN_ENDS_ONE_IN: Final = 8


class NodeKind(IntEnum):
    """What a node stands for; the number is the level that the projector is told."""

    CHUNK = 0
    GROUP = 1
    FILE = 2
    DIRECTORY = 3
    REPOSITORY = 4


@dataclass(frozen=True)
class Node:
    """One place in the tree. ``digest = H(kind, child digests)``; a chunk's is its own.

    `height` is 0 for a chunk and one more than the highest child's for a parent: to compute a
    node, all of lower height must have been.
    """

    id: str
    kind: NodeKind
    path: str
    parent: str | None
    digest: str
    children: tuple[str, ...]
    n_chunks: int
    height: int


Family = dict[str, Node]
"""The nodes that belong to one file or one directory, by id; its top under its own id."""

Member = tuple[str, str]
"""A child of a directory: the hash of its name in octal digits, and its id."""


def parent_node(node_id: str, kind: NodeKind, path: str, children: Sequence[Node]) -> Node:
    digest = digest_of(kind.name, *(child.digest for child in children))
    height = 1 + max((child.height for child in children), default=0)
    n_chunks = sum(child.n_chunks for child in children)
    return Node(node_id, kind, path, None, digest, tuple(child.id for child in children), n_chunks, height)


def _adopt(parent: Node, children: Sequence[Node], family: Family) -> None:
    for child in children:
        if child.id in family and child.parent != parent.id:
            family[child.id] = replace(child, parent=parent.id)


def file_family(path: str, digests: Sequence[str]) -> Family:
    """A file of these chunks, groups of chunks between where there are many."""
    nodes = [
        Node(f"chunk:{path}#{ordinal}", NodeKind.CHUNK, path, None, digest, (), 1, 0)
        for ordinal, digest in enumerate(digests)
    ]
    family: Family = {node.id: node for node in nodes}
    level = 0
    while len(nodes) > MAX_CHILDREN:
        level += 1
        groups = []
        for number, run in enumerate(_runs(nodes)):
            group = parent_node(f"group:{path}#{level}.{number}", NodeKind.GROUP, path, run)
            family[group.id] = group
            _adopt(group, run, family)
            groups.append(group)
        nodes = groups
    top = parent_node(f"file:{path}", NodeKind.FILE, path, nodes)
    family[top.id] = top
    _adopt(top, nodes, family)
    return family


def _runs(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Consecutive nodes cut where a digest says so: an insertion moves the borders of its own run only."""
    run: list[Node] = []
    for node in nodes:
        run.append(node)
        ends = len(run) >= SHORTEST_RUN and int(node.digest[:4], 16) % RUN_ENDS_ONE_IN == 0
        if ends or len(run) == MAX_CHILDREN:
            yield run
            run = []
    if run:
        yield run


def member_of(node_id: str) -> Member:
    """Where the file or directory `node_id` hangs in the trie of its directory."""
    digest = digest_of(node_id.rpartition("/")[2])
    n_digits, missing_bits = -(-len(digest) * 4 // 3), -len(digest) * 4 % 3
    return format(int(digest, 16) << missing_bits, f"0{n_digits}o"), node_id


def top_id_of(directory: str) -> str:
    return f"directory:{directory}" if directory else REPOSITORY_ID


def directory_family(
    path: str,
    members: Sequence[Member],
    before: Family,
    changed: Collection[str],
    top_of: Callable[[str], Node],
) -> Family:
    """A directory of `members`, which are sorted.

    What it is now is made from what it was `before`: only groups on the way to a hash of `changed`
    are made again, so that a save in a folder of a hundred thousand files costs one path.
    """
    family = dict(before)
    for key in changed:
        for node_id in _way_to(path, key, before):  # two ways may begin alike
            family.pop(node_id, None)
    children = _Trie(path, members, family, top_of).children("", 0, len(members))
    kind = NodeKind.DIRECTORY if path else NodeKind.REPOSITORY
    family[top_id_of(path)] = top = parent_node(top_id_of(path), kind, path, children)
    _adopt(top, children, family)
    return family


def parent_of_member(directory: str, node_id: str, family: Family) -> str:
    """The id of the node in the family of `directory` whose child `node_id` is."""
    *_, last = ("", *_way_to(directory, member_of(node_id)[0], family))
    return last or top_id_of(directory)


def _way_to(directory: str, key: str, family: Family) -> list[str]:
    """The groups above the member with this hash, from the outermost."""
    way: list[str] = []
    for depth in range(1, len(key)):
        node_id = f"group:{directory}#{key[:depth]}"
        if node_id not in family:
            break
        way.append(node_id)
    return way


@dataclass(frozen=True)
class _Trie:
    """Writes the groups of a directory into `family`; those that are in it are right."""

    path: str
    members: Sequence[Member]
    family: Family
    top_of: Callable[[str], Node]

    def children(self, digits: str, start: int, end: int) -> list[Node]:
        """Of the group at `digits`, whose members are those from `start` to `end`."""
        if end - start <= MAX_CHILDREN:
            self._drop_below(digits)
            return [self.top_of(node_id) for _, node_id in self.members[start:end]]
        found: list[Node] = []
        for digit in "01234567":
            inner = digits + digit
            first = bisect_left(self.members, (inner,), start, end)
            last = bisect_left(self.members, (inner + "8",), first, end)
            if last - first == 1:
                found.append(self.top_of(self.members[first][1]))
            elif last > first:
                found.append(self._group(inner, first, last))
        return found

    def _group(self, digits: str, start: int, end: int) -> Node:
        node_id = f"group:{self.path}#{digits}"
        if node_id not in self.family:
            children = self.children(digits, start, end)
            self.family[node_id] = group = parent_node(node_id, NodeKind.GROUP, self.path, children)
            _adopt(group, children, self.family)
        return self.family[node_id]

    def _drop_below(self, digits: str) -> None:
        for digit in "01234567":
            if self.family.pop(f"group:{self.path}#{digits}{digit}", None) is not None:
                self._drop_below(digits + digit)

"""The tree of the workspace: chunks, files, directories, the repository. Pure shape, no vectors.

Owns ids, digests and the rule that keeps families small. The shape is a pure function of the
present chunks, never of the history of edits: `Hierarchy.update` equals `Hierarchy.build` of the
result, but costs only what changed.

Large families are split by rules that look at content, not at position, so that one new line or
file dirties one path to the root: the chunks of a file are cut into runs where a chunk's own
digest says so, the children of a directory hang in a radix trie over the hash of their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from indexer.chunk import digest_of

REPOSITORY_ID: Final = "repository:"
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


class Hierarchy:
    """Immutable. Any thread may read it."""

    MAX_CHILDREN: Final = 16

    def __init__(
        self, files: dict[str, Family], directories: dict[str, Family], members: dict[str, frozenset[str]]
    ) -> None:
        """Use `build`. `members` holds, for each directory, the ids of its files and directories."""
        self._files, self._directories, self._members = files, directories, members
        self._length = sum(map(len, files.values())) + sum(map(len, directories.values()))

    @staticmethod
    def build(files: Mapping[str, Sequence[str]]) -> Hierarchy:
        """The tree of files given as path -> chunk digests in order; files without chunks are left out."""
        return Hierarchy(
            {}, {"": {REPOSITORY_ID: _parent(REPOSITORY_ID, NodeKind.REPOSITORY, "", [])}}, {}
        ).update(files)

    def update(self, changes: Mapping[str, Sequence[str] | None]) -> Hierarchy:
        """The tree after `changes`: path -> new chunk digests, None or nothing for a file that is gone."""
        files, members = dict(self._files), dict(self._members)
        dirty: set[str] = set()
        for path, digests in changes.items():
            if digests:
                files[path] = _file_family(path, digests)
            elif files.pop(path, None) is None:
                continue
            _set_member(members, _directory_of(path), f"file:{path}", bool(digests))
            dirty.add(_directory_of(path))
        return self._with_directories(files, members, dirty)

    def _with_directories(
        self, files: dict[str, Family], members: dict[str, frozenset[str]], dirty: set[str]
    ) -> Hierarchy:
        directories = dict(self._directories)
        after = Hierarchy.__new__(Hierarchy)
        after._files, after._directories, after._members = files, directories, members
        while dirty:
            path = max(dirty, key=lambda directory: (directory.count("/") + bool(directory), directory))
            dirty.discard(path)
            present = members.get(path, frozenset())
            if present or path == "":
                directories[path] = after._directory_family(path, present)
            else:
                directories.pop(path, None)
            if path:
                _set_member(members, _directory_of(path), f"directory:{path}", bool(present))
                dirty.add(_directory_of(path))
        after._length = sum(map(len, files.values())) + sum(map(len, directories.values()))
        return after

    def _directory_family(self, path: str, members: frozenset[str]) -> Family:
        named = sorted((digest_of(member.rpartition("/")[2]), self._top(member)) for member in members)
        family: Family = {}
        kind = NodeKind.DIRECTORY if path else NodeKind.REPOSITORY
        top_id = f"directory:{path}" if path else REPOSITORY_ID
        children = _trie(path, "", named, family)
        family[top_id] = top = _parent(top_id, kind, path, children)
        _adopt(top, children, family)
        return family

    def _top(self, node_id: str) -> Node:
        kind, _, path = node_id.partition(":")
        return (self._files if kind == "file" else self._directories)[path][node_id]

    @property
    def root(self) -> Node:
        return self._directories[""][REPOSITORY_ID]

    def __len__(self) -> int:
        return self._length

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._family_of(node_id)

    def node(self, node_id: str) -> Node:
        """Raises KeyError if there is no such place."""
        node = self._family_of(node_id)[node_id]
        if node.kind in (NodeKind.FILE, NodeKind.DIRECTORY):
            return replace(node, parent=self._parent_of_top(node))
        return node

    def _family_of(self, node_id: str) -> Family:
        kind, _, place = node_id.partition(":")
        if kind in ("chunk", "group"):
            place = place.rpartition("#")[0]
        if kind in ("chunk", "file"):
            return self._files.get(place, {})
        return (
            self._directories.get(place) or self._files.get(place, {})
            if kind == "group"
            else (self._directories.get(place, {}))
        )

    def _parent_of_top(self, node: Node) -> str:
        directory = _directory_of(node.path)
        family = self._directories[directory]
        return next(parent.id for parent in family.values() if node.id in parent.children)

    def nodes(self) -> Iterator[Node]:
        """Every node, chunks too."""
        for families in (self._files, self._directories):
            for family in families.values():
                for node_id in family:
                    yield self.node(node_id)

    def chunk_ids(self, path: str) -> tuple[str, ...]:
        """The chunks of a file in order; empty if the file is unknown."""
        return tuple(node.id for node in self._files.get(path, {}).values() if node.kind is NodeKind.CHUNK)

    def ancestors(self, node_id: str) -> tuple[Node, ...]:
        """From the parent up to the repository."""
        found = []
        parent = self.node(node_id).parent
        while parent is not None:
            node = self.node(parent)
            found.append(node)
            parent = node.parent
        return tuple(found)

    def touched(self, paths: Iterable[str]) -> Family:
        """Every node inside and above the files at `paths`, by id: all that a change of them can change."""
        found: Family = {}
        for path in paths:
            found.update(self._files.get(path, {}))
            directory = path
            while directory:
                directory = _directory_of(directory)
                found.update(self._directories.get(directory, {}))
        return found


def _directory_of(path: str) -> str:
    return path.rpartition("/")[0]


def _set_member(members: dict[str, frozenset[str]], directory: str, member: str, present: bool) -> None:
    others = members.get(directory, frozenset()) - {member}
    members[directory] = others | {member} if present else others
    if not members[directory]:
        del members[directory]


def _parent(node_id: str, kind: NodeKind, path: str, children: Sequence[Node]) -> Node:
    digest = digest_of(kind.name, *(child.digest for child in children))
    height = 1 + max((child.height for child in children), default=0)
    n_chunks = sum(child.n_chunks for child in children)
    return Node(node_id, kind, path, None, digest, tuple(child.id for child in children), n_chunks, height)


def _adopt(parent: Node, children: Sequence[Node], family: Family) -> None:
    for child in children:
        if child.id in family:
            family[child.id] = replace(child, parent=parent.id)


def _file_family(path: str, digests: Sequence[str]) -> Family:
    nodes = [
        Node(f"chunk:{path}#{ordinal}", NodeKind.CHUNK, path, None, digest, (), 1, 0)
        for ordinal, digest in enumerate(digests)
    ]
    family: Family = {node.id: node for node in nodes}
    level = 0
    while len(nodes) > Hierarchy.MAX_CHILDREN:
        level += 1
        groups = []
        for number, run in enumerate(_runs(nodes)):
            group = _parent(f"group:{path}#{level}.{number}", NodeKind.GROUP, path, run)
            family[group.id] = group
            _adopt(group, run, family)
            groups.append(group)
        nodes = groups
    top = _parent(f"file:{path}", NodeKind.FILE, path, nodes)
    family[top.id] = top
    _adopt(top, nodes, family)
    return family


def _runs(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Consecutive nodes cut where a digest says so: an insertion moves the borders of its own run only."""
    run: list[Node] = []
    for node in nodes:
        run.append(node)
        ends = len(run) >= SHORTEST_RUN and int(node.digest[:4], 16) % RUN_ENDS_ONE_IN == 0
        if ends or len(run) == Hierarchy.MAX_CHILDREN:
            yield run
            run = []
    if run:
        yield run


def _trie(path: str, bits: str, named: list[tuple[str, Node]], family: Family) -> list[Node]:
    """The children of one trie node over `named` (name hash, top), all of whose hashes begin with `bits`."""
    if len(named) <= Hierarchy.MAX_CHILDREN:
        return [node for _, node in named]
    children = []
    for digit in range(8):
        below = [(key, node) for key, node in named if _octal_digit(key, len(bits)) == digit]
        if len(below) == 1:
            children.append(below[0][1])
        elif below:
            inner = _trie(path, f"{bits}{digit}", below, family)
            group = _parent(f"group:{path}#{bits}{digit}", NodeKind.GROUP, path, inner)
            family[group.id] = group
            _adopt(group, inner, family)
            children.append(group)
    return children


def _octal_digit(key: str, place: int) -> int:
    return int(key, 16) >> (len(key) * 4 - 3 * (place + 1)) & 7

"""The tree of the workspace: chunks, files, directories, the repository. Pure shape, no vectors.

Owns ids and how families hang together; what a family holds is `indexer.families`. The shape is a
pure function of the present chunks, never of the history of edits: `Hierarchy.update` equals
`Hierarchy.build` of the result, but costs only what changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from indexer.families import (
    MAX_CHILDREN,
    REPOSITORY_ID,
    Family,
    Member,
    Node,
    NodeKind,
    directory_family,
    file_family,
    member_of,
    parent_node,
    parent_of_member,
)
from indexer.layered import LayeredMap

__all__ = ["REPOSITORY_ID", "Family", "Hierarchy", "Node", "NodeKind"]


class Hierarchy:
    """Immutable. Any thread may read it."""

    MAX_CHILDREN: Final = MAX_CHILDREN

    def __init__(
        self,
        files: LayeredMap[str, Family],
        directories: dict[str, Family],
        members: dict[str, list[Member]],
        length: int,
    ) -> None:
        """Use `build`. `members` holds, for each directory, its files and directories, sorted."""
        self._files, self._directories, self._members = files, directories, members
        self._length = length

    @staticmethod
    def build(files: Mapping[str, Sequence[str]]) -> Hierarchy:
        """The tree of files given as path -> chunk digests in order; files without chunks are left out."""
        root = {REPOSITORY_ID: parent_node(REPOSITORY_ID, NodeKind.REPOSITORY, "", [])}
        return Hierarchy(LayeredMap(), {"": root}, {}, len(root)).update(files)

    def update(self, changes: Mapping[str, Sequence[str] | None]) -> Hierarchy:
        """The tree after `changes`: path -> new chunk digests, None or nothing for a file that is gone."""
        put = {path: file_family(path, digests) for path, digests in changes.items() if digests}
        gone = [path for path, digests in changes.items() if not digests and path in self._files]
        after = Hierarchy(
            self._files.changed(put, gone), dict(self._directories), dict(self._members), self._length
        )
        after._length += sum(map(len, put.values()))
        after._length -= sum(len(self._files[path]) for path in (*put, *gone) if path in self._files)
        after._follow({f"file:{path}": path in put for path in (*put, *gone)})
        return after

    def _follow(self, changed: Mapping[str, bool]) -> None:
        """Makes the directories above `changed` again, deepest first: id -> whether it is there now."""
        by_depth: dict[int, dict[str, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))

        def note(node_id: str, present: bool) -> None:
            directory = _directory_of(_path_of(node_id))
            by_depth[_depth_of(directory)][directory][node_id] = present

        for node_id, present in changed.items():
            note(node_id, present)
        for depth in range(max(by_depth, default=0), -1, -1):
            for directory, children in by_depth[depth].items():
                self._make_directory(directory, children)
                if directory:
                    note(f"directory:{directory}", directory in self._directories)

    def _make_directory(self, directory: str, changed: Mapping[str, bool]) -> None:
        members = self._members_after(directory, changed)
        before = self._directories.get(directory, {})
        if members or directory == "":
            keys = {member_of(node_id)[0] for node_id in changed}
            self._directories[directory] = directory_family(directory, members, before, keys, self._top)
        else:
            del self._members[directory]
            self._directories.pop(directory, None)
        self._length += len(self._directories.get(directory, {})) - len(before)

    def _members_after(self, directory: str, changed: Mapping[str, bool]) -> list[Member]:
        before = self._members.get(directory, [])
        came = [member_of(node_id) for node_id, present in changed.items() if present]
        kept = [member for member in before if member[1] not in changed]
        self._members[directory] = after = sorted(kept + came)
        return after

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
        return parent_of_member(directory, node.id, self._directories[directory])

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
        above: set[str] = set()
        for path in paths:
            found.update(self._files.get(path, {}))
            directory = _directory_of(path)
            while directory not in above:
                above.add(directory)
                directory = _directory_of(directory)
        for directory in above:
            found.update(self._directories.get(directory, {}))
        return found


def _directory_of(path: str) -> str:
    return path.rpartition("/")[0]


def _path_of(node_id: str) -> str:
    return node_id.partition(":")[2]


def _depth_of(directory: str) -> int:
    return directory.count("/") + bool(directory)

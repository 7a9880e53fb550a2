"""Definitions reached through imports: the retrieval of graph systems, as an arm to compare with.

Owns reading a Python file's imports, finding the files they name and the chunks that define the names.
Names used nearest to the cursor come first; a name that a package only passes on is followed one step more.
Best effort and read by lines, since the file ends in the middle of being written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexer.chunk import Chunk
from indexer.folders import n_shared
from indexer.retriever import Hit, Query

if TYPE_CHECKING:
    from indexer.index import IndexView

_FROM = re.compile(r"^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]*(\([^)]*\)|[^\n(]+)", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+([^\n#]+)", re.MULTILINE)
_NAMED = re.compile(r"([\w.]+|\*)(?:[ \t]+as[ \t]+(\w+))?")
_WORD = re.compile(r"[A-Za-z_]\w*")
_ALL = "*"
Definition = tuple[str, Chunk]
"""The id of a chunk's node, and the chunk."""


@dataclass(frozen=True)
class Import:
    """`name` of `module` (which `level` dots precede) is called `local` here; an empty name is the module."""

    module: str
    level: int
    name: str
    local: str


class GraphRetriever:
    """In place of a search: what the file imports, as `indexer.retriever.Retriever` would hand it out."""

    def retrieve(self, view: IndexView, query: Query) -> list[Hit]:
        """At most `query.n_hits` chunks."""
        modules = _Modules(view, query.path)
        own = "\n".join(chunk.text for chunk in view.file_chunks(query.path))
        words = _WORD.findall(f"{query.text}\n{query.near}")
        last_use = {word: place for place, word in enumerate([*_WORD.findall(own), *words])}
        found: dict[str, tuple[int, Definition]] = {}
        for known in imports_of(own):
            for wanted, definition in modules.reached(known, words):
                used = last_use.get(known.local if wanted == known.name else wanted, 0)
                if used > found.get(definition[0], (-1, definition))[0]:
                    found[definition[0]] = (used, definition)
        best = sorted(found.values(), key=lambda pair: (-pair[0], pair[1][0]))[: query.n_hits]
        return [_hit(view, definition, rank) for rank, (_, definition) in enumerate(best)]


def imports_of(text: str) -> list[Import]:
    """In order; `from x import (a, b as c)`, `import x.y as z` and relative ones."""
    found = []
    for dots, module, names in _FROM.findall(text):
        for name, local in _NAMED.findall(re.sub(r"#[^\n]*", "", names).strip("()")):
            found.append(Import(module, len(dots), name, local or name))
    for names in _IMPORT.findall(text):
        for name, local in _NAMED.findall(names):
            found.append(Import(name, 0, "", local or name.split(".")[0]))
    return found


class _Modules:
    """The files of the workspace as modules, seen from one of them."""

    def __init__(self, view: IndexView, own_path: str) -> None:
        self._view, self._own_path = view, own_path
        self._chunks: dict[str, list[Definition]] = {}

    def reached(self, known: Import, words: list[str]) -> Iterator[tuple[str, Definition]]:
        """Definitions of the name imported; of a module as a whole, those of whichever of `words` it has."""
        for path in self._files(known, self._own_path):
            is_whole = known.name in ("", _ALL) or path.removesuffix("/__init__.py").endswith(
                (f"{known.name}.py", f"/{known.name}")
            )
            for wanted in dict.fromkeys(words) if is_whole else (known.name,):
                yield from ((wanted, definition) for definition in self._defining(path, wanted))

    def _files(self, known: Import, importer: str) -> list[str]:
        """At most two: the module, its package, or the name as a module in it; the nearest first."""
        module = [part for part in known.module.split(".") if part]
        tails = [module] if known.name in ("", _ALL) else [[*module, known.name], module]
        folder = importer.split("/")[:-1]
        if known.level:
            folder = folder[: len(folder) - (known.level - 1)]
            places = ["/".join((*folder, *tail)) for tail in tails]
            paths = [f"{place}{end}".lstrip("/") for place in places for end in (".py", "/__init__.py")]
            return [path for path in paths if path in self._view.files and path != importer][:2]
        ends = tuple(f"/{'/'.join(tail)}{end}" for tail in tails if tail for end in (".py", "/__init__.py"))
        found = [path for path in self._view.files if path != importer and f"/{path}".endswith(ends)]
        return sorted(found, key=lambda path: (-n_shared(path.split("/"), folder), len(path), path))[:2]

    def _defining(self, path: str, name: str, hops: int = 1) -> list[Definition]:
        """The chunks of a file that define `name`, or of the file from which it is passed on."""
        defines = re.compile(
            rf"^\s*(?:async\s+)?(?:def|class)\s+{name}\b|^{name}\b\s*(?::[^=\n]*)?=", re.MULTILINE
        )
        found = [one for one in self._read(path) if name in one[1].text and defines.search(one[1].text)]
        if found or not hops:
            return found[:2]
        passed = [one for one in self._imports(path) if one.local == name and one.name]
        files = [other for one in passed[:1] for other in self._files(one, path)]
        return [hit for other in files for hit in self._defining(other, name, hops - 1)][:2]

    def _read(self, path: str) -> list[Definition]:
        if path not in self._chunks:
            ids = self._view.hierarchy.chunk_ids(path)
            self._chunks[path] = list(zip(ids, self._view.file_chunks(path), strict=True))
        return self._chunks[path]

    def _imports(self, path: str) -> list[Import]:
        return imports_of("\n".join(chunk.text for _, chunk in self._read(path)))


def _hit(view: IndexView, definition: Definition, rank: int) -> Hit:
    node_id, chunk = definition
    node = view.hierarchy.node(node_id)
    return Hit(node, 1.0 / (1 + rank), 0.0, 0.0, chunk.text, chunk.start_line, chunk.end_line)

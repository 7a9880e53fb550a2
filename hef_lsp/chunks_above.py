"""Chunks of the open file whose memories tell what stands above the prompt, so that less of it is read.

Owns which they are and where the text has to begin. A chunk counts only while it stands in the document as
it stands in the index. Pure: reads one view of the index, its memory only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from indexer.chunk import NO_LANGUAGE, digest_of

if TYPE_CHECKING:
    from indexer.hierarchy import Node
    from indexer.index import IndexView

MOST_CHUNKS = 6
LEAST_READ_CHARS = 384
"""Of the text before the cursor, some 120 tokens, that are read whatever memories there are."""


@dataclass(frozen=True)
class ChunkAbove:
    """`begin` and `end` are offsets in the prefix, `end` the start of the line behind the chunk."""

    node: Node
    first_line: int
    begin: int
    end: int


def chunks_above(view: IndexView, path: str, prefix: str) -> tuple[ChunkAbove, ...]:
    """Those nearest above the last `LEAST_READ_CHARS` of `prefix`, the nearest first.

    They stay the same while one types, until the text below has grown by a whole chunk.
    """
    facts = view.files.get(path)
    if facts is None:
        return ()
    lines = prefix.split("\n")
    offsets = [0, *accumulate(len(line) + 1 for line in lines)]
    found: list[ChunkAbove] = []
    for node, (start, end, _) in zip(
        reversed(view.hierarchy.chunk_ids(path)), facts.spans[::-1].tolist(), strict=True
    ):
        if end >= len(lines) or offsets[end] > len(prefix) - LEAST_READ_CHARS:
            continue
        chunk = view.hierarchy.node(node)
        if digest_of(facts.language or NO_LANGUAGE, "\n".join(lines[start:end])) == chunk.digest:
            found.append(ChunkAbove(chunk, start, offsets[start], offsets[end]))
        if len(found) == MOST_CHUNKS:
            break
    return tuple(found)

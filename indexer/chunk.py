"""The chunk: a run of whole lines of one file, small enough to be compressed at once.

Owns the chunk's data and its digest; cutting files into chunks is `indexer.chunker`.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

DIGEST_BYTES = 16
NO_LANGUAGE = "text"
"""Stands in a digest for the language of a file that is of none."""


def digest_of(*parts: str) -> str:
    """A hex digest of `parts`, each delimited, so that no two lists of parts collide."""
    state = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


@dataclass(frozen=True)
class Chunk:
    """Lines ``[start_line, end_line)`` of a file, counted from 0.

    `path` is relative to the workspace, with forward slashes. `digest` depends on the
    language and the text, never on the place, so that moved code keeps its vectors.
    """

    path: str
    language: str
    start_line: int
    end_line: int
    text: str
    n_tokens: int
    digest: str


def make_chunk(path: str, language: str, start_line: int, end_line: int, text: str, n_tokens: int) -> Chunk:
    """A chunk with the digest that its language and text give it."""
    return Chunk(path, language, start_line, end_line, text, n_tokens, digest_of(language, text))

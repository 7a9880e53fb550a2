"""One small source a language and its chunks as readable text, in tests/golden/chunks.

After a wanted change run this file as a script: it writes the expectations anew, to be
read as a diff before they are committed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from indexer.chunk import Chunk
from indexer.chunker import chunk_source
from indexer.languages import language_of

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "chunks"
SOURCES = sorted(path.name for path in GOLDEN.iterdir() if path.suffix != ".chunks")
# Small, so that a short file shows every kind of cut.
MAX_TOKENS = 64


def count_words(texts: list[str]) -> list[int]:
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def rendered(chunks: list[Chunk]) -> str:
    parts = [
        f"======== lines {chunk.start_line + 1}-{chunk.end_line}, {chunk.n_tokens} tokens\n{chunk.text}\n"
        for chunk in chunks
    ]
    return "".join(parts)


def chunks_of(name: str) -> list[Chunk]:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    return chunk_source(name, language_of(name), text, count_words, MAX_TOKENS)


@pytest.mark.parametrize("name", SOURCES)
def test_chunks_are_as_recorded(name: str) -> None:
    expected = (GOLDEN / f"{name}.chunks").read_text(encoding="utf-8")
    assert rendered(chunks_of(name)) == expected


def test_every_grammar_has_a_golden_file() -> None:
    from indexer.grammars import LANGUAGES

    assert {language_of(name) for name in SOURCES} >= LANGUAGES


if __name__ == "__main__":
    for source in SOURCES:
        (GOLDEN / f"{source}.chunks").write_text(rendered(chunks_of(source)), encoding="utf-8")

"""The exact memory follows the index: every change, a restart, and files that go."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_rig import MEMORY, Rig, at_once

from indexer.chunk import Chunk
from indexer.index import Index, IndexModels
from indexer.source_files import SourceTree
from indexer.suffix_session import SuffixSession
from indexer.token_memory import text_of
from model.protocols import CancelSignal


def as_bytes(texts: object) -> list[list[int]]:
    """A tokenizer of bytes."""
    return [list(text.encode()) for text in texts]  # type: ignore[attr-defined]


class Remembering(Rig):
    """A rig whose index remembers tokens."""

    def open(self, compute: object = at_once, max_memory: int = MEMORY) -> Index:
        tree = SourceTree(self.root, (), 10_000, 1 << 20)
        models = IndexModels(
            self.embedder, self.fuser, lambda texts: [1 + len(t) // 4 for t in texts], "words", as_bytes
        )
        self.index = Index.open(self.cache, tree, models, at_once, True, max_memory)
        return self.index

    def remember(self) -> None:
        self.index.updater.scan()
        self.index.updater.remember(self.index.view())

    def follows(self, words: str, path: str = "open.py") -> str | None:
        """The likeliest next character after `words` for one who edits `path`."""
        session = SuffixSession(self.index.view().memory, path, ())
        match = session.match(list(words.encode()))
        return chr(match.candidates[0].token_id) if match and match.length == min(16, len(words)) else None


@pytest.fixture
def rig(tmp_path: Path) -> Remembering:
    rig = Remembering(tmp_path / "work", tmp_path / "cache")
    rig.write("a.py", "def total(items):\n    return sum(items)\n")
    rig.write("b.py", "def other(x):\n    return x\n")
    rig.remember()
    return rig


def test_what_the_workspace_says_is_remembered(rig: Remembering) -> None:
    assert rig.index.updater.unread() == 0
    assert rig.follows("return sum(") == "i"
    assert rig.index.status().remembered == rig.index.view().memory.n_tokens > 0


def test_an_edit_replaces_what_was_remembered(rig: Remembering) -> None:
    rig.write("a.py", "def total(items):\n    return max(items)\n")
    rig.changed("a.py")
    assert rig.index.updater.unread() == 1
    rig.remember()
    assert rig.follows("return sum(") is None
    assert rig.follows("return max(") == "i"


def test_a_file_that_goes_is_forgotten(rig: Remembering) -> None:
    rig.delete("a.py")
    rig.remember()
    assert rig.follows("return sum(") is None


def test_a_restart_remembers_again_from_the_store(rig: Remembering) -> None:
    rig.reopen()
    assert rig.index.updater.unread() == 2
    rig.index.updater.remember(rig.index.view())
    assert rig.follows("return sum(") == "i"


def test_the_open_file_is_not_asked(rig: Remembering) -> None:
    assert rig.follows("return sum(", "a.py") is None


def test_a_cancelled_reading_goes_on_later(rig: Remembering) -> None:
    class Now(CancelSignal):
        cancelled = True

    rig.write("c.py", "print('gone on later')\n")
    rig.changed("c.py")
    rig.index.updater.remember(rig.index.view(), cancel=Now())
    assert rig.index.updater.unread() == 1
    rig.index.updater.remember(rig.index.view())
    assert rig.follows("gone on") == " "


def test_an_index_without_a_tokenizer_remembers_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "work", tmp_path / "cache")
    rig.write("a.py", "x = 1\n")
    rig.settle()
    rig.index.updater.remember(rig.index.view())
    assert (rig.index.updater.unread(), rig.index.view().memory.n_tokens) == (0, 0)


def test_a_file_is_put_together_with_its_blank_lines() -> None:
    text = "import a\n\n\ndef f():\n    return 1\n"
    chunks = [
        Chunk("x.py", "python", 0, 1, "import a", 2, "d1"),
        Chunk("x.py", "python", 3, 5, "def f():\n    return 1", 5, "d2"),
    ]
    assert text_of(chunks) == text.rstrip("\n")

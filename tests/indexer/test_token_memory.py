"""The exact memory follows the index: every change, a restart, and files that go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from index_rig import MEMORY, Rig, at_once

from indexer import memory_file
from indexer.chunk import Chunk
from indexer.index import Index, IndexModels
from indexer.memory_file import FILE_NAME, load_memory, save_memory
from indexer.source_files import SourceTree
from indexer.suffix_index import SuffixSnapshot
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
            self.embedder,
            self.fuser,
            lambda texts: [1 + len(t) // 4 for t in texts],
            self.tokenizer_id,
            as_bytes,
        )
        self.index = Index.open(self.cache, tree, models, at_once, 1 << 40, max_memory)
        return self.index

    def remember(self) -> None:
        self.index.updater.scan()
        self.index.updater.remember(self.index.view())

    def follows(self, words: str, path: str = "open.py") -> str | None:
        """The likeliest next character after `words` for one who edits `path`."""
        session = SuffixSession(self.index.view().memory, path, ())
        match = next(iter(session.matches(list(words.encode()))), None)
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


def test_a_restart_knows_what_was_saved_and_reads_nothing_again(
    rig: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(texts: object) -> list[list[int]]:
        raise AssertionError("nothing is to be encoded")

    before = rig.index.view().memory.n_tokens
    monkeypatch.setattr("test_token_memory.as_bytes", never)
    rig.reopen()
    assert rig.index.updater.unread() == 0
    assert rig.follows("return sum(") == "i" and rig.index.view().memory.n_tokens == before


def test_what_changed_while_nobody_looked_is_read_again(rig: Remembering) -> None:
    rig.index.close()
    rig.write("a.py", "def total(items):\n    return max(items)\n")
    rig.delete("b.py")
    rig.open()
    assert rig.index.updater.unread() == 0  # nobody has looked yet
    rig.remember()
    assert (rig.follows("return sum("), rig.follows("return max("), rig.follows("def other(")) == (
        None,
        "i",
        None,
    )


def test_a_memory_behind_the_index_is_read_again(rig: Remembering) -> None:
    """As after a kill between a commit and the saving."""
    rig.reopen()
    saved = (rig.cache / FILE_NAME).read_bytes()
    rig.write("a.py", "\n\n\ndef total(items):\n    return max(items)\n")
    rig.changed("a.py")
    rig.index.close()
    (rig.cache / FILE_NAME).write_bytes(saved)
    rig.open()
    assert rig.index.updater.unread() == 1
    rig.index.updater.remember(rig.index.view())
    assert (rig.follows("return sum("), rig.follows("return max(")) == (None, "i")


@pytest.mark.parametrize("spoil", [lambda data: data[:-40], lambda data: b"", lambda data: b"PK" + data[50:]])
def test_a_damaged_file_is_no_loss(
    rig: Remembering, spoil: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    rig.index.close()
    path = rig.cache / FILE_NAME
    path.write_bytes(spoil(path.read_bytes()))
    rig.open()
    assert "memory.npz is damaged and is made anew" in caplog.text
    assert rig.index.updater.unread() == 2
    rig.index.updater.remember(rig.index.view())
    assert rig.follows("return sum(") == "i"
    rig.reopen()
    assert rig.index.updater.unread() == 0


def test_a_flipped_bit_is_noticed(rig: Remembering) -> None:
    rig.index.close()
    path = rig.cache / FILE_NAME
    data = bytearray(path.read_bytes())
    place = data.find(b"\x93NUMPY") + 140  # in the first array's numbers
    data[place] ^= 1
    path.write_bytes(bytes(data))
    assert load_memory(rig.cache, rig.tokenizer_id) is None


def test_another_tokenizer_another_order_or_too_little_room_begin_anew(
    rig: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.index.close()
    assert load_memory(rig.cache, "other words") is None
    with monkeypatch.context() as patch:
        patch.setattr(memory_file, "ORDER", 8)
        assert load_memory(rig.cache, rig.tokenizer_id) is None
    rig.open(max_memory=8 * 4 * 10)
    assert rig.index.view().memory.n_tokens == 0 and rig.index.updater.unread() == 2


def test_arrays_that_do_not_fit_are_refused(rig: Remembering) -> None:
    rig.index.close()
    saved = load_memory(rig.cache, rig.tokenizer_id)
    assert saved is not None
    (part,) = saved.snapshot.segments
    wild = replace(part.segment, order=part.segment.order + np.uint32(10**6))
    save_memory(rig.cache, replace(saved, snapshot=SuffixSnapshot((replace(part, segment=wild),))))
    assert load_memory(rig.cache, rig.tokenizer_id) is None


def test_a_disk_that_is_full_costs_nothing_but_the_next_start(
    rig: Remembering, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory_file.np, "savez", full)
    rig.index.close()
    assert "the exact memory was not saved" in caplog.text
    assert not list(rig.cache.glob("memory.npz*"))


def test_a_second_process_reads_what_was_saved_and_writes_nothing(rig: Remembering) -> None:
    rig.reopen()
    stamp = (rig.cache / FILE_NAME).stat().st_mtime_ns
    other = Remembering(rig.root, rig.cache)
    assert other.index.status().read_only
    assert other.follows("return sum(") == "i"
    other.index.close()
    assert (rig.cache / FILE_NAME).stat().st_mtime_ns == stamp


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

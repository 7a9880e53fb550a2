"""A database whose bytes were changed, caches that are missing or another's, a file that is locked, a
folder that cannot be written: the server works, says what was lost, and equals a rebuild.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from fault_rig import (
    check_survived,
    module,
    picture_of,
    plant,
    rebuilt,
    same,
    serving,
    settled,
)
from tally import FULL, Row, count

from indexer.memory_file import FILE_NAME
from indexer.source_files import FileChange
from indexer.store import DATABASE

N_FLIPPED = 400 if FULL else 16
PAGE = 4096


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A base with a workspace `root`, and a closed index of it in `cache`."""
    plant(tmp_path / "root")
    for number in range(12):
        (tmp_path / "root" / f"more_{number}.py").write_text(module(f"more_{number}", 8))
    with serving(tmp_path / "root", tmp_path / "cache") as folder:
        settled(folder)
    return tmp_path


def the(name: str, cache: Path) -> Path:
    (found,) = cache.rglob(name)
    return found


def truncate(path: Path, chooser: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(chooser.randrange(path.stat().st_size))


def overwrite_page(path: Path, chooser: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(PAGE * chooser.randrange(max(1, path.stat().st_size // PAGE)))
        file.write(chooser.choice([bytes(PAGE), chooser.randbytes(PAGE)]))


def flip_bytes(path: Path, chooser: random.Random) -> None:
    with path.open("r+b") as file:
        for _ in range(chooser.choice((1, 16, 256))):
            file.seek(chooser.randrange(path.stat().st_size))
            file.write(chooser.randbytes(1))


HARMS: tuple[Callable[[Path, random.Random], None], ...] = (truncate, overwrite_page, flip_bytes)


def test_a_database_with_changed_bytes(made: Path) -> None:
    """What SQLite or a digest can notice is made anew and said. Bits flipped within a vector, a rank or a
    word of the lexicon nobody can notice; then nothing fails, and the next rebuild puts it right."""
    wanted = rebuilt(made / "root", made / "scratch")
    shutil.copytree(made / "cache", made / "whole")
    for seed in range(N_FLIPPED):
        chooser = random.Random(seed)
        shutil.rmtree(made / "cache")
        shutil.copytree(made / "whole", made / "cache")
        count(Row.FAULTS_INJECTED)
        chooser.choice(HARMS)(the(DATABASE, made / "cache"), chooser)
        with serving(made / "root", made / "cache") as folder:
            settled(folder)
            try:
                found = picture_of(folder)
            except Exception:  # a keystroke met the damage; the next change mends it
                found = {}
            folder.overlay("a.py", module("typed"))
            settled(folder)
            folder.overlay("a.py", None)
            settled(folder)
            if found != wanted and picture_of(folder) != wanted:
                folder.reindex()
                settled(folder)
            same(picture_of(folder), wanted)
        count(Row.FAULTS_SURVIVED)


def test_damage_met_while_it_serves_is_made_anew(made: Path) -> None:
    wanted = rebuilt(made / "root", made / "scratch")
    count(Row.FAULTS_INJECTED)
    with serving(made / "root", made / "cache") as folder:
        settled(folder)
        database = the(DATABASE, made / "cache")
        with database.open("r+b") as file:
            file.seek(PAGE)
            file.write(b"\xff" * (database.stat().st_size - PAGE))
        with suppress(Exception):  # as a keystroke may, whose answer is empty then
            picture_of(folder)
        folder.overlay("a.py", module("typed"))
        assert folder.wait_idle(60)
        folder.overlay("a.py", None)
        settled(folder)
        same(picture_of(folder), wanted)
    assert list((made / "cache").rglob("*.corrupt-1"))
    count(Row.FAULTS_SURVIVED)


def test_damage_that_was_met_is_not_closed_as_clean(made: Path) -> None:
    """A clean close skips the check of the next opening, so a damaged index stayed damaged for ever."""
    count(Row.FAULTS_INJECTED)
    with serving(made / "root", made / "cache") as folder:
        settled(folder)
        index = folder._writer.index
        assert index is not None
        index._store.found_damaged("said by a test")
    assert not list((made / "cache").rglob(DATABASE))
    check_survived(made / "root", made / "cache", rebuilt(made / "root", made / "scratch"))
    count(Row.FAULTS_SURVIVED)


MEMORY_HARMS = ("missing", "empty", "half", "of another workspace", "of an older generation")


@pytest.mark.parametrize("harm", MEMORY_HARMS)
def test_the_exact_memory_on_disk(harm: str, made: Path) -> None:
    """The dense keys have no file of their own: their graph is built at each opening from the database."""
    count(Row.FAULTS_INJECTED)
    memory = the(FILE_NAME, made / "cache")
    if harm == "missing":
        memory.unlink()
    elif harm == "empty":
        memory.write_bytes(b"")
    elif harm == "half":
        memory.write_bytes(memory.read_bytes()[: memory.stat().st_size // 2])
    elif harm == "of another workspace":
        plant(made / "other")
        (made / "other" / "a.py").write_text(module("foreign", 9))
        with serving(made / "other", made / "other-cache") as folder:
            settled(folder)
        shutil.copy(the(FILE_NAME, made / "other-cache"), memory)
    else:
        older = memory.read_bytes()
        (made / "root" / "a.py").write_text(module("later"))
        with serving(made / "root", made / "cache") as folder:
            settled(folder)
        memory.write_bytes(older)
    check_survived(made / "root", made / "cache", rebuilt(made / "root", made / "scratch"))
    count(Row.FAULTS_SURVIVED)


def test_a_database_locked_by_another_program_is_waited_for(made: Path) -> None:
    count(Row.FAULTS_INJECTED)
    (made / "root" / "a.py").write_text(module("a").replace("value + 1", "value - 1"))
    with serving(made / "root", made / "cache") as folder:
        settled(folder)
        other = sqlite3.connect(the(DATABASE, made / "cache"), isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        release.start()
        (made / "root" / "b.py").write_text(module("afterwards"))
        folder.notify([FileChange("b.py")])
        settled(folder)
        release.join()
        other.close()
        same(picture_of(folder), rebuilt(made / "root", made / "scratch"))
    count(Row.FAULTS_SURVIVED)


def test_a_cache_that_cannot_be_written_costs_only_its_keeping(made: Path) -> None:
    count(Row.FAULTS_INJECTED)
    (made / "no-folder").write_text("")
    with serving(made / "root", made / "no-folder" / "cache") as folder:
        assert "lost when the server ends" in settled(folder)["notes"][0]
        same(picture_of(folder), rebuilt(made / "root", made / "scratch"))
    count(Row.FAULTS_SURVIVED)

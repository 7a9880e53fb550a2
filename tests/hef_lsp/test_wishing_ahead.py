"""Where memories are made on demand, those of an open document's other places are wished for beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeGenerator, ManualCancel, fake_bundle

from hef_lsp.context import fusing
from hef_lsp.remembering import Remembering
from hef_lsp.settings import ContextMode, ContextSettings
from hef_lsp.wishing_ahead import MOST_PLACES
from indexer.suffix_index import SuffixIndex
from tests.hef_lsp.engine_rig import FakeView, Rig, chunk_hit, request_at, rig

READY, MISSED = chunk_hit("lib/ready.py", "def ready(): ..."), chunk_hit("lib/missed.py", "def missed(): ...")


def made(mode: ContextMode = ContextMode.AUTO, preferred: str = "dense", on_demand: bool = True) -> Rig:
    bundle = fake_bundle(FakeGenerator(["x"]), preferred_context=preferred, fuses_on_demand=on_demand)
    return rig(view=FakeView([READY, MISSED]), mode=mode, bundle=bundle)


def text_of(n_lines: int) -> str:
    return "x = 1\n" * (n_lines // 2) + "y = ║" + "\nx = 1" * (n_lines - n_lines // 2 - 1)


def worked(one: Rig, text: str) -> int:
    """How often there was something to do; the first piece is the file itself."""
    n_pieces = 0
    while one.engine.read_on(request_at(text), ManualCancel()):
        n_pieces += 1
    return n_pieces


@pytest.mark.parametrize(("n_lines", "n_places"), [(1, 1), (20, 1), (21, 2), (100, 5), (5000, MOST_PLACES)])
def test_each_place_of_a_document_is_asked_about_once_the_nearest_first(n_lines: int, n_places: int) -> None:
    one = made()
    assert worked(one, text_of(n_lines)) == n_places
    lines = [query.excluded[1] for query in one.retriever.queries]
    assert len(set(lines)) == n_places
    middle = n_lines // 2 + 21
    assert abs(lines[0] - middle) <= abs(lines[-1] - middle)
    assert worked(one, text_of(n_lines)) == 0
    one.engine.forget(request_at(text_of(n_lines)).document.uri)
    assert worked(one, text_of(n_lines)) == n_places


def test_what_has_no_memory_is_wished_for_after_all_that_was_missed() -> None:
    one = made()
    one.view.ready.add(READY.node.digest)
    worked(one, text_of(5))  # a file that has only begun is told what it is not like, too
    assert (one.view.wished, one.view.wished_later) == ([], [MISSED.node.digest])


def test_an_index_that_has_grown_is_asked_again() -> None:
    one = made()
    assert worked(one, text_of(50)) == 3
    one.view.hits += [chunk_hit(f"lib/more{number}.py", "def more(): ...") for number in range(3)]
    assert worked(one, text_of(50)) == 3


@pytest.mark.parametrize(
    ("mode", "preferred", "on_demand"),
    [
        (ContextMode.DENSE, "dense", True),
        (ContextMode.TEXT, "dense", True),
        (ContextMode.AUTO, "text", True),
        (ContextMode.AUTO, "dense", False),
    ],
)
def test_elsewhere_nothing_is_searched_for_beforehand(
    mode: ContextMode, preferred: str, on_demand: bool
) -> None:
    one = made(mode, preferred, on_demand)
    assert worked(one, text_of(100)) == 0
    assert not one.retriever.queries


def test_another_place_is_remembered_as_it_would_be_there_and_the_cursors_memory_stays() -> None:
    one = made()
    index = SuffixIndex(10_000)
    encode = one.generator.tokenizer.encode
    index.update({"lib/a.py": np.array(encode("".join(f"one = two({n})\nthree = {n}\n" for n in range(9))))})
    remembering = Remembering(one.generator.tokenizer)
    here, there = request_at("x = 1\n║\none = two(3)\n"), request_at("x = 1\none = two(3)\n║")
    before = remembering.at(here, index.snapshot())
    glanced = remembering.glance(there, index.snapshot())
    assert remembering.at(here, index.snapshot()).above == before.above
    assert glanced.session.record.n_positions == 0
    asked = remembering.at(there, index.snapshot())
    assert glanced.lines_alike() == asked.lines_alike() != ()
    assert asked.session.record.n_positions > 0


@pytest.mark.parametrize(
    ("mode", "preferred", "on_demand", "wanted"),
    [
        (ContextMode.AUTO, "dense", True, (True, True)),
        (ContextMode.AUTO, "dense", False, (True, False)),
        (ContextMode.AUTO, "text", True, (False, False)),
        (ContextMode.TEXT, "dense", True, (False, False)),
        (ContextMode.DENSE, "text", True, (True, False)),
    ],
)
def test_an_index_is_opened_anew_only_where_it_would_make_other_memories(
    mode: ContextMode, preferred: str, on_demand: bool, wanted: tuple[bool, bool]
) -> None:
    assert fusing(ContextSettings(mode=mode), made(mode, preferred, on_demand).bundle) == wanted  # type: ignore[arg-type]

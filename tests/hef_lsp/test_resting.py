"""A model that nobody uses is put away, its memory is free, and the next request brings it back."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import FakeGenerator, fake_bundle
from waiting import until

from hef_lsp import resting
from hef_lsp.resting import Resting
from hef_lsp.server import create_server
from hef_lsp.session import AWAY, Session
from hef_lsp.settings import ContextMode


@pytest.fixture(params=[None])
async def session(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Session]:
    """With a parameter the context mode is that, and fusers hold their generators, as those of slots do."""

    def load(*_: object) -> Any:
        generator = FakeGenerator(["return total"])
        alive.append(weakref.ref(generator))
        slots = request.param is not None
        bundle = fake_bundle(
            generator=generator, preferred_context="dense" if slots else "text", fuses_on_demand=slots
        )
        bundle.encode = generator.tokenizer.encode_batch  # holds no generator
        if slots:
            bundle.fuser.generator = generator  # type: ignore[union-attr]
        return bundle

    alive: list[weakref.ref[FakeGenerator]] = []
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.py").write_text("def f(x):\n    return x\n")
    made = create_server(load, tmp_path / "cache").session
    made.alive = alive  # type: ignore[attr-defined]
    made.roots = [tmp_path / "root"]
    made.client_watches = True
    if request.param is not None:
        made.configuration.set_context(request.param)
    made.open()
    await until(lambda: made.engine is not None and made.report().state == "ready")
    yield made
    made.close()


async def test_put_away_it_is_free_and_a_request_brings_it_back(session: Session) -> None:
    alive = session.alive  # type: ignore[attr-defined]
    (folder,) = session.folders.values()
    opened = folder._writer.index
    session.put_models_away()
    assert session.engine is None and (session.report().state, session.report().message) == ("ready", AWAY)

    await is_freed(alive[0])
    assert folder.wait_idle(0) and folder.view() is not None
    assert session.answering._engine() is None, "the request that wakes it is answered empty"
    assert session.report().state == "loading the models"
    await until(lambda: session.engine is not None)
    assert session.report().state == "ready" and not session.report().message
    assert folder._writer.index is opened, "the index was not opened again for it"


async def is_freed(generator: weakref.ref[FakeGenerator]) -> None:
    def is_free() -> bool:
        gc.collect()
        return generator() is None

    await until(is_free)


@pytest.mark.parametrize("session", [ContextMode.AUTO], indirect=True)
async def test_an_index_that_fuses_on_demand_gives_the_generator_back(session: Session) -> None:
    alive = session.alive  # type: ignore[attr-defined]
    for n_loads in (1, 2):
        assert len(alive) == n_loads
        session.put_models_away()
        await is_freed(alive[-1])
        session.answering._engine()
        await until(lambda: session.engine is not None)


@pytest.mark.parametrize("session", [ContextMode.DENSE], indirect=True)
async def test_an_index_that_fuses_everything_keeps_the_generator_until_there_is_another(
    session: Session,
) -> None:
    alive = session.alive  # type: ignore[attr-defined]
    session.put_models_away()
    await asyncio.sleep(0.05)
    gc.collect()
    assert alive[0]() is not None
    session.answering._engine()
    await until(lambda: session.engine is not None)
    await is_freed(alive[0])


async def test_it_is_not_put_away_under_a_request(session: Session) -> None:
    session.lane.keystroke_waiting = lambda: True  # type: ignore[method-assign]
    session.put_models_away()
    assert session.engine is not None


async def test_it_is_put_away_after_so_long_without_a_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "LOOK_EVERY_S", 0.001)
    now_s, minutes, n_away = [100.0], [0], [0]
    monkeypatch.setattr(resting, "time", SimpleNamespace(monotonic=lambda: now_s[0]))  # not the loop's

    def put_away() -> None:
        n_away[0] += 1

    rest = Resting(lambda: minutes[0], put_away)
    rest.start()
    now_s[0] += 10_000
    await asyncio.sleep(0.02)
    assert not n_away[0], "0 means never"
    rest.used()
    minutes[0] = 5
    now_s[0] += 299
    await asyncio.sleep(0.02)
    assert not n_away[0]
    now_s[0] += 2
    await asyncio.sleep(0.02)
    assert n_away[0]
    rest.close()

"""`hef.context.leastShared`: what is unlike all that stands at the cursor is not told, and it is said."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
from engine_rig import FakeView, Rig, chunk_hit, request_at, rig

from hef_lsp.explanation import Explanation
from hef_lsp.settings import ContextMode, ContextSettings
from model.protocols import NeverCancelled

GO = NeverCancelled()
LOADER = chunk_hit("lib/config.py", "def load_config(path, strict):\n    return parse(path)\n")
ABOVE = "".join(f"window.draw_{place}(colour)\n" for place in "abcdefgh")
CALLED = "return parse(path)\ncfg = load_config(path, strict)"
LIKE = f"{ABOVE}return parse(path)\ncfg = load_config(path, str║\n"
UNLIKE = f"{ABOVE}window.clear()\nwindow.paint(colour║\n"
BOTH_MODES = pytest.mark.parametrize("mode", [ContextMode.TEXT, ContextMode.DENSE])


def rig_of(mode: ContextMode, least_shared: int, fused: bool = True) -> Rig:
    view = FakeView([LOADER])
    if fused:
        view.fuse_all()
    made = rig(["zzz"], view, mode)
    asked = dataclasses.replace(made.settings.context, least_shared=least_shared)
    made.settings = dataclasses.replace(made.settings, context=asked)
    return made


def explained_of(made: Rig) -> Explanation:
    explanation = made.engine.last_explanation
    assert explanation is not None
    return explanation


def is_told(made: Rig) -> bool:
    call = made.generator.calls[-1]
    return "def load_config" in call.prompt_text or call.prompt.pseudo_tokens is not None


@BOTH_MODES
def test_what_is_unlike_is_not_told_and_stands_in_the_explanation(mode: ContextMode) -> None:
    made = rig_of(mode, 35)
    made.engine.complete(request_at(UNLIKE), GO)
    assert not is_told(made)
    explanation = explained_of(made)
    assert [(hit.path, hit.used) for hit in explanation.hits] == [("lib/config.py", False)]
    assert explanation.notes == ("no context: nothing found is like what stands at the cursor",)
    assert explanation.mode == mode


@BOTH_MODES
def test_what_is_like_it_is_told(mode: ContextMode) -> None:
    made = rig_of(mode, 35)
    made.engine.complete(request_at(LIKE), GO)
    assert is_told(made) and explained_of(made).notes == ()


@BOTH_MODES
def test_at_nought_all_is_told(mode: ContextMode) -> None:
    made = rig_of(mode, 0)
    made.engine.complete(request_at(UNLIKE), GO)
    assert is_told(made)


@pytest.mark.parametrize(("mode", "told"), [(ContextMode.TEXT, True), (ContextMode.DENSE, False)])
def test_unless_set_dense_mode_alone_keeps_to_what_is_like(mode: ContextMode, told: bool) -> None:
    made = rig_of(mode, ContextSettings().least_shared)
    made.engine.complete(request_at(UNLIKE), GO)
    assert is_told(made) is told
    made.engine.complete(request_at(LIKE, invoked=True), GO)
    assert is_told(made)


def test_text_that_stands_in_for_what_is_not_fused_is_told_as_in_text_mode() -> None:
    """Dense mode found it worth telling and has no memory of it; the search for text is another."""
    made = rig_of(ContextMode.DENSE, ContextSettings().least_shared, fused=False)
    made.engine.complete(request_at(LIKE), GO)
    assert is_told(made) and explained_of(made).mode == ContextMode.TEXT


def test_what_is_not_told_need_not_be_fused() -> None:
    made = rig_of(ContextMode.DENSE, 35, fused=False)
    made.engine.complete(request_at(UNLIKE), GO)
    assert made.view is not None and made.view.wished == []
    made.engine.complete(request_at(LIKE, invoked=True), GO)
    assert made.view.wished == [LOADER.node.digest]


def test_what_was_told_for_the_line_before_stays_where_nothing_is_worth_telling() -> None:
    made = rig_of(ContextMode.TEXT, 35)
    made.engine.complete(request_at(f"{ABOVE}{CALLED}║\n"), GO)
    made.engine.complete(request_at(f"{ABOVE}{CALLED}\n\n\nwindow.clear()\nwindow.paint(colour║\n"), GO)
    assert len(made.retriever.queries) == 2 and is_told(made)
    assert all(
        later.startswith(earlier) for earlier, later in pairwise(c.prompt_text for c in made.generator.calls)
    )


def test_what_was_not_told_before_is_told_once_it_is_alike() -> None:
    made = rig_of(ContextMode.TEXT, 35)
    made.engine.complete(request_at(UNLIKE), GO)
    made.engine.complete(
        request_at(f"{ABOVE}window.paint(colour)\n\nreturn parse(path)\ncfg = load_config(path, strict║\n"),
        GO,
    )
    assert is_told(made)


@BOTH_MODES
def test_where_a_file_has_only_begun_all_is_told(mode: ContextMode) -> None:
    made = rig_of(mode, 35)
    made.engine.complete(request_at("window.paint(colour║\n"), GO)
    assert is_told(made)

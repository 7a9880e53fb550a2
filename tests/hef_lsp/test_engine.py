"""The way from a request to suggestions, with fakes for models and index."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from engine_rig import (
    URI,
    FakeView,
    Rig,
    chunk_hit,
    parent_hit,
    request_at,
    rig,
    settings_with,
)
from fakes import FAKE_FIM, FakeGenerator, ManualCancel, fake_bundle, inducing

from hef_lsp.engine import MOST_TRIES, Suggestion
from hef_lsp.settings import CompletionSettings, ContextMode, ContextSettings, Settings
from indexer.hierarchy import NodeKind
from indexer.likest_lines import FileLine
from indexer.suffix_index import SuffixIndex
from model.protocols import FloatArray, NeverCancelled, StopMode, StopReason
from model.slot_pairs import SlotPairs

GO = NeverCancelled()
LOADER = chunk_hit("lib/config.py", "def load_config(path, strict):\n    return parse(path)\n")
WIDGET = chunk_hit("lib/widget.py", "class Widget:\n    colour = 3\n", score=0.4)
FOLDER = parent_hit(NodeKind.DIRECTORY, "lib", "digest of lib")


def view_of_all(fused: bool = True) -> FakeView:
    view = FakeView([LOADER, FOLDER, WIDGET])
    if fused:
        view.fuse_all()
    return view


# what is suggested


def test_one_line_is_inserted_at_the_cursor() -> None:
    made = rig(["foo(bar)\nnext line"])
    assert made.engine.complete(request_at("x = ║\n"), GO) == [Suggestion("foo(bar)", 4, 4)]
    (call,) = made.generator.calls
    assert call.rule.mode is StopMode.LINE
    assert call.rule.max_tokens == CompletionSettings().max_tokens


def test_a_block_is_generated_where_one_begins() -> None:
    made = rig(["\n    return x\n\nother = 1"])
    (suggestion,) = made.engine.complete(request_at("def f(x):║\n"), GO)
    assert suggestion.text == "\n    return x"
    assert made.generator.calls[0].rule.mode is StopMode.BLOCK
    assert made.generator.calls[0].rule.max_tokens == CompletionSettings().max_block_tokens


def test_multiline_can_be_switched_off() -> None:
    made = rig(["return x\n    more"], completion=CompletionSettings(multiline=False))
    request = request_at("def f(x):\n    ║\n", invoked=True)
    assert [s.text for s in made.engine.complete(request, GO)] == ["return x"]


def test_an_invoked_request_gets_alternatives_each_once_best_first() -> None:
    made = rig(["foo()", "bar()", "foo()", "baz()", "too()"], completion=CompletionSettings(alternatives=3))
    request = request_at("x = ║\n", invoked=True, n_alternatives=9)
    assert [s.text for s in made.engine.complete(request, GO)] == ["foo()", "bar()", "baz()"]
    begins = [call.rule.begin for call in made.generator.calls]
    assert begins == [None, *(call.generation.forks[0] for call in made.generator.calls[:3])]
    assert made.generator.calls[1].generation.n_prefilled == 0
    assert all(call.rule.wants_forks for call in made.generator.calls)


def test_what_was_broken_off_before_so_many_differed_is_asked_for_again() -> None:
    n_answers = iter(range(3))

    def twice_the_same(_prompt: str, _branch: int) -> str:
        if next(n_answers, None) == 2:
            raise RuntimeError("the third")
        return "foo()"

    made = rig(twice_the_same)
    request = request_at("x = ║\n", invoked=True, n_alternatives=2)
    assert [s.text for s in made.engine.complete(request, GO)] == ["foo()"]
    assert made.engine.lookup(request) is None
    assert [s.text for s in made.engine.complete(request, GO)] == ["foo()"]
    assert made.engine.lookup(request) is not None, "this time there was nothing else to say"


def test_who_has_nothing_else_to_say_is_not_asked_for_ever() -> None:
    made = rig(["foo()"])
    request = request_at("x = ║\n", invoked=True, n_alternatives=3)
    assert [s.text for s in made.engine.complete(request, GO)] == ["foo()"]
    assert len(made.generator.calls) == 3 * MOST_TRIES


def test_the_first_alternative_does_not_wait_for_slow_ones_and_who_asks_again_gets_more() -> None:
    made = rig(["foo()", "bar()", "baz()"], completion=CompletionSettings(alternatives_ms=0))
    request = request_at("x = ║\n", invoked=True, n_alternatives=3)
    assert [s.text for s in made.engine.complete(request, GO)] == ["foo()"]
    assert made.engine.lookup(request) is None
    assert made.engine.lookup(request_at("x = ║\n")) is not None
    made.settings = dataclasses.replace(made.settings, completion=CompletionSettings())
    assert [s.text for s in made.engine.complete(request, GO)] == ["foo()", "bar()", "baz()"]


def test_an_automatic_request_gets_one() -> None:
    made = rig(["foo()", "bar()"])
    assert len(made.engine.complete(request_at("x = ║\n", n_alternatives=3), GO)) == 1
    assert len(made.generator.calls) == 1
    assert not made.generator.calls[0].rule.wants_forks


def test_nothing_to_say_is_no_error() -> None:
    made = rig(["<|endoftext|>import os"])
    assert made.engine.complete(request_at("x = ║\n"), GO) == []
    assert made.engine.lookup(request_at("x = ║\n")) == []
    assert len(made.generator.calls) == 1


def test_the_suggestion_is_trimmed_against_the_suffix_for_a_model_that_reads_only_to_the_left() -> None:
    made = rig(["y += x\n    return y\n"])
    request = request_at("def f(x):\n    y = 1\n    ║\n    return y\n", invoked=True)
    assert [s.text for s in made.engine.complete(request, GO)] == ["y += x"]
    assert "return y" not in made.generator.calls[0].prompt_text


def test_a_model_that_fills_in_the_middle_reads_the_suffix() -> None:
    made = rig(bundle=fake_bundle(FakeGenerator(["1"], fim=FAKE_FIM)))
    made.engine.complete(request_at("x = ║\nsuffix_marker = 2\n"), GO)
    assert "suffix_marker" in made.generator.calls[0].prompt_text


def test_a_selected_entry_is_extended_and_its_range_replaced() -> None:
    made = rig(["(value)"])
    (suggestion,) = made.engine.complete(request_at("x = pri║\n", selected=("pri", "print")), GO)
    assert suggestion == Suggestion("print(value)", 4, 7)
    assert made.generator.calls[0].prompt_text.endswith("x = print")


def test_a_selected_entry_that_nothing_extends_is_dropped() -> None:
    made = rig([""])
    assert made.engine.complete(request_at("x = pri║\n", selected=("pri", "print")), GO) == []


def test_a_block_torn_by_the_limit_ends_with_a_whole_line() -> None:
    made = rig(["\n    a = 1\n    b = 22 + 33"], completion=CompletionSettings(max_block_tokens=12))
    (suggestion,) = made.engine.complete(request_at("def f(x):║\n"), GO)
    assert made.generator.calls[0].generation.stop_reason is StopReason.LIMIT
    assert suggestion.text == "\n    a = 1"


def test_carriage_returns_shift_no_offset() -> None:
    made = rig(["foo()"])
    (suggestion,) = made.engine.complete(request_at("a = 1\r\nx = ║\r\n"), GO)
    assert suggestion == Suggestion("foo()", 11, 11)
    assert "\r" not in made.generator.calls[0].prompt_text


# context


def test_text_mode_gives_the_generator_snippets() -> None:
    made = rig(inducing(), view_of_all(), ContextMode.TEXT)
    (suggestion,) = made.engine.complete(request_at("cfg = load_config(║\n"), GO)
    assert suggestion.text == "path, strict):"
    assert made.generator.calls[0].prompt.pseudo_tokens is None
    assert made.generator.calls[0].prompt.told_ids == ()
    assert made.retriever.queries[0].ancestors is False
    explanation = made.engine.last_explanation
    assert explanation is not None
    assert (explanation.mode, explanation.source, explanation.n_pseudo_tokens) == ("text", "generated", 0)
    assert [hit.path for hit in explanation.hits] == ["lib/config.py", "lib/widget.py"]


def test_none_mode_asks_no_index() -> None:
    made = rig(inducing(), view_of_all(), ContextMode.NONE)
    made.engine.complete(request_at("cfg = load_config(║\n"), GO)
    assert made.retriever.queries == []
    assert "strict" not in made.generator.calls[0].prompt_text


def test_dense_mode_gives_pseudo_tokens_of_chunks_and_ancestors() -> None:
    made = rig(["x"], view_of_all(), ContextMode.DENSE)
    made.engine.complete(request_at("y = ║\n"), GO)
    pseudo_tokens = made.generator.calls[0].prompt.pseudo_tokens
    assert pseudo_tokens is not None and pseudo_tokens.shape == (12, 8)
    assert "load_config" not in made.generator.calls[0].prompt_text
    room = made.generator.context_window // 4
    assert made.bundle.projector.calls == [(3, (0, 3, 0), ContextSettings.pseudo_tokens, room)]  # type: ignore[union-attr]
    explanation = made.engine.last_explanation
    assert explanation is not None
    assert (explanation.mode, explanation.n_pseudo_tokens, explanation.notes) == ("dense", 12, ())
    assert [hit.kind for hit in explanation.hits] == ["chunk", "directory", "chunk"]


def test_dense_mode_takes_the_memories_that_exist() -> None:
    view = view_of_all()
    view.ready.discard(WIDGET.node.digest)
    made = rig(["x"], view, ContextMode.DENSE)
    made.engine.complete(request_at("y = ║\n"), GO)
    explanation = made.engine.last_explanation
    assert explanation is not None
    assert explanation.n_pseudo_tokens == 8
    assert [hit.used for hit in explanation.hits] == [True, True, True]
    assert explanation.notes == ("1 of 3 retrieved nodes are not fused yet: 1 as text",)
    prompt = made.generator.calls[0].prompt_text
    assert WIDGET.text.splitlines()[0] in prompt
    assert "load_config" not in prompt
    assert view.wished == [WIDGET.node.digest]


@pytest.mark.parametrize("as_slots", [True, False])
def test_slots_tell_the_texts_that_they_stand_for(as_slots: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    view = view_of_all()
    view.ready.discard(WIDGET.node.digest)
    made = rig(["x"], view, ContextMode.DENSE)
    slots = SlotPairs(np.zeros(3, dtype=np.int64), np.zeros((3, 4), dtype=np.float32), 2, 2)
    if as_slots:
        monkeypatch.setattr(made.bundle.projector, "project", lambda *_: slots)
    made.engine.complete(request_at("y = ║\n"), GO)
    told = made.generator.tokenizer.decode(made.generator.calls[0].prompt.told_ids)
    assert ("load_config" in told) is as_slots
    explanation = made.engine.last_explanation
    assert explanation is not None
    assert explanation.n_pseudo_tokens == (2 if as_slots else 8)  # three pairs of two heads, two rows of four
    assert WIDGET.text.splitlines()[0] not in told


@pytest.mark.parametrize(("budget", "used"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (12, 3)])
def test_what_the_budget_leaves_out_is_not_used(budget: int, used: int) -> None:
    """Of three nodes of four vectors each."""
    made = rig(["x"], view_of_all(), ContextMode.DENSE)
    made.settings = Settings(context=ContextSettings(mode=ContextMode.DENSE, pseudo_tokens=budget))
    made.engine.complete(request_at("y = ║\n"), GO)
    explanation = made.engine.last_explanation
    assert explanation is not None
    assert [hit.used for hit in explanation.hits] == [True] * used + [False] * (3 - used)
    assert explanation.n_pseudo_tokens == budget


def test_slots_tell_no_text_that_they_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rig(["x"], view_of_all(), ContextMode.DENSE)
    slots = SlotPairs(np.zeros(3, dtype=np.int64), np.zeros((3, 4), dtype=np.float32), 2, 1)
    monkeypatch.setattr(made.bundle.projector, "project", lambda *_: slots)
    made.engine.complete(request_at("y = ║\n"), GO)
    told = made.generator.tokenizer.decode(made.generator.calls[0].prompt.told_ids)
    assert "load_config" in told and WIDGET.text.splitlines()[0] not in told


def test_no_slots_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rig(["x"], view_of_all(), ContextMode.DENSE)
    none = SlotPairs(np.zeros(0, dtype=np.int64), np.zeros((0, 4), dtype=np.float32), 2, 0)
    monkeypatch.setattr(made.bundle.projector, "project", lambda *_: none)
    made.engine.complete(request_at("y = ║\n"), GO)
    prompt = made.generator.calls[0].prompt
    assert (prompt.pseudo_tokens, prompt.told_ids) == (None, ())


def test_dense_mode_says_where_a_text_did_not_fit() -> None:
    view = view_of_all()
    view.ready.discard(WIDGET.node.digest)
    made = rig(["x"], view, ContextMode.DENSE)
    little = ContextSettings(ContextMode.DENSE, text_tokens=1)
    made.settings = dataclasses.replace(made.settings, context=little)
    made.engine.complete(request_at("y = ║\n"), GO)
    explanation = made.engine.last_explanation
    assert explanation is not None
    assert [hit.used for hit in explanation.hits] == [True, True, False]


def test_dense_mode_without_memories_falls_back_to_text_and_says_so() -> None:
    made = rig(inducing(), view_of_all(fused=False), ContextMode.DENSE)
    (suggestion,) = made.engine.complete(request_at("cfg = load_config(║\n"), GO)
    assert suggestion.text == "path, strict):"
    explanation = made.engine.last_explanation
    assert explanation is not None
    assert explanation.mode == "text"
    assert explanation.notes == ("text instead of dense: none of the retrieved nodes is fused yet",)


def test_dense_mode_without_a_fuser_falls_back_to_text() -> None:
    bundle = fake_bundle(FakeGenerator(["x"]), with_fuser=False)
    made = rig(view=view_of_all(), mode=ContextMode.DENSE, bundle=bundle)
    made.engine.complete(request_at("y = ║\n"), GO)
    explanation = made.engine.last_explanation
    assert explanation is not None and explanation.mode == "text"
    assert "no fuser or projector" in explanation.notes[0]


def test_no_pseudo_tokens_are_the_plain_generator() -> None:
    made = rig(["x"], view_of_all())
    made.settings = Settings(context=ContextSettings(mode=ContextMode.DENSE, pseudo_tokens=0))
    made.engine.complete(request_at("y = ║\n"), GO)
    assert made.generator.calls[0].prompt.pseudo_tokens is None


@pytest.mark.parametrize("preferred", ["dense", "text"])
def test_auto_is_what_the_models_prefer(preferred: str) -> None:
    bundle = fake_bundle(FakeGenerator(["x"]), preferred_context=preferred)
    made = rig(view=view_of_all(), mode=ContextMode.AUTO, bundle=bundle)
    made.engine.complete(request_at("y = ║\n"), GO)
    assert made.engine.last_explanation is not None
    assert made.engine.last_explanation.mode == preferred


def on_demand(*missing: str) -> tuple[Rig, FakeView]:
    """What `auto` is where slots stand for text, with digests that have no memory yet."""
    view = view_of_all()
    view.ready -= set(missing)
    bundle = fake_bundle(FakeGenerator(["x", "x", "x"]), preferred_context="dense", fuses_on_demand=True)
    return rig(view=view, mode=ContextMode.AUTO, bundle=bundle), view


def test_auto_leaves_out_what_has_no_memory_and_tells_it_from_the_next_line_on() -> None:
    made, view = on_demand(WIDGET.node.digest)
    made.engine.complete(request_at("y = ║\n"), GO)
    explanation = made.engine.last_explanation
    assert explanation is not None and explanation.mode == "dense"
    assert {hit.path: hit.used for hit in explanation.hits}[WIDGET.node.path] is False
    # Ancestors have memories only where everything is fused.
    assert {hit.kind for hit in explanation.hits} == {"chunk"}
    assert explanation.notes == ("1 of 2 retrieved nodes are not fused yet: left out",)
    assert view.wished == [WIDGET.node.digest]
    view.ready.add(WIDGET.node.digest)
    made.engine.complete(request_at("y = 1║\n"), GO)
    made.engine.complete(request_at("y = 1\nz = ║\n"), GO)
    counts = [len(call.prompt.pseudo_tokens) for call in made.generator.calls]
    assert counts[0] == counts[1] < counts[2]
    assert all(WIDGET.text.splitlines()[0] not in call.prompt_text for call in made.generator.calls)


def test_auto_tells_nothing_while_nothing_has_a_memory() -> None:
    made, _ = on_demand(*(hit.node.digest for hit in view_of_all().hits))
    made.engine.complete(request_at("y = ║\n"), GO)
    explanation = made.engine.last_explanation
    assert explanation is not None and explanation.mode == "dense"
    assert explanation.notes == ("2 of 2 retrieved nodes are not fused yet: left out",)
    assert made.generator.calls[0].prompt.pseudo_tokens is None


def test_auto_tells_text_where_nobody_makes_memories() -> None:
    made, view = on_demand(WIDGET.node.digest)
    view.grants = False
    made.engine.complete(request_at("y = ║\n"), GO)
    assert WIDGET.text.splitlines()[0] in made.generator.calls[0].prompt_text
    assert made.engine.last_explanation is not None
    assert made.engine.last_explanation.notes == ("1 of 2 retrieved nodes are not fused yet: 1 as text",)


def test_what_was_told_as_text_stays_text_until_something_else_is_told() -> None:
    view = view_of_all()
    view.ready.discard(WIDGET.node.digest)
    made = rig(["x", "x", "x"], view, ContextMode.DENSE)
    widget = WIDGET.text.splitlines()[0]
    made.engine.complete(request_at("y = ║\n"), GO)
    view.ready.add(WIDGET.node.digest)
    made.engine.complete(request_at("y = 1\nz = ║\n"), GO)
    first, second = (call.prompt_text for call in made.generator.calls)
    assert widget in first and second.startswith(first[: first.index(widget)]) and widget in second
    made.engine.complete(request_at("y = 1\nz = ║\n", invoked=True), GO)
    assert widget not in made.generator.calls[2].prompt_text


def test_without_an_index_completions_go_on() -> None:
    made = rig(["foo()"], None, ContextMode.TEXT)
    assert made.engine.complete(request_at("x = ║\n"), GO) != []
    assert made.engine.last_explanation is not None
    assert made.engine.last_explanation.notes == ("no context: the workspace is not indexed yet",)


def test_when_the_index_comes_what_was_said_without_it_is_said_anew() -> None:
    made = rig(["foo()"], None, ContextMode.TEXT)
    made.engine.complete(request_at("x = ║\n"), GO)
    made.view = view_of_all()
    assert made.engine.lookup(request_at("x = ║\n")) is None


@pytest.mark.parametrize("mode", [ContextMode.TEXT, ContextMode.DENSE])
def test_a_broken_index_does_not_stop_completions(
    mode: ContextMode, caplog: pytest.LogCaptureFixture
) -> None:
    view = view_of_all()
    view.broken = True
    made = rig(["foo()", "bar()"], view, mode)
    with caplog.at_level(logging.INFO):
        for number in range(3):
            assert made.engine.complete(request_at(f"x{number} = ║\n"), GO) != []
    assert made.engine.last_explanation is not None and made.engine.last_explanation.mode == "none"
    assert "the search in the index failed" in made.engine.last_explanation.notes[-1]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "retrieval" in caplog.text and "secret" not in caplog.text


def test_a_broken_projector_leaves_text() -> None:
    bundle = fake_bundle(FakeGenerator(["foo()"]))
    bundle.projector = _BrokenProjector()
    made = rig(view=view_of_all(), mode=ContextMode.DENSE, bundle=bundle)
    assert made.engine.complete(request_at("x = ║\n"), GO) != []
    assert made.engine.last_explanation is not None
    assert made.engine.last_explanation.notes == ("text instead of dense: the projector failed",)


class _BrokenProjector:
    model_id = "broken"

    def project(self, vectors: object, levels: object, budget: int, room: int) -> FloatArray:
        raise ValueError("shape")


def test_a_generator_that_raises_answers_nothing_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    def broken(prompt: str, branch: int) -> str:
        raise RuntimeError(f"out of memory while reading {prompt}")

    made = rig(broken)
    with caplog.at_level(logging.INFO):
        assert made.engine.complete(request_at("secret = ║\n"), GO) == []
        assert made.engine.complete(request_at("secret = ║\n"), GO) == []
    assert len(caplog.records) == 1
    assert "RuntimeError" in caplog.text and "secret" not in caplog.text


def test_an_alternative_that_fails_costs_only_itself() -> None:
    def half_broken(_: str, branch: int) -> str:
        if branch:
            raise RuntimeError("branch")
        return "foo()"

    made = rig(half_broken)
    request = request_at("x = ║\n", invoked=True, n_alternatives=3)
    assert [s.text for s in made.engine.complete(request, GO)] == ["foo()"]


def test_a_snippet_that_does_not_fit_is_explained_as_unused() -> None:
    made = rig(["foo()"], FakeView([LOADER, chunk_hit("lib/huge.py", "word " * 5000)]), ContextMode.TEXT)
    made.engine.complete(request_at("x = ║\n"), GO)
    assert made.engine.last_explanation is not None
    assert [hit.used for hit in made.engine.last_explanation.hits] == [True, False]


@pytest.mark.parametrize("mode", [ContextMode.TEXT, ContextMode.DENSE])
def test_settings_larger_than_the_context_window_are_cut_to_it(mode: ContextMode) -> None:
    bundle = fake_bundle(FakeGenerator(["foo()"], context_window=32))
    made = rig(view=view_of_all(), bundle=bundle)
    made.settings = Settings(
        context=ContextSettings(mode=mode, pseudo_tokens=512, prefix_tokens=8192),
        completion=CompletionSettings(max_tokens=1024, max_block_tokens=2048),
    )
    assert made.engine.complete(request_at("a = 1\n" * 100 + "x = ║\n", invoked=True), GO) != []
    (call,) = made.generator.calls
    n_pseudo = 0 if call.prompt.pseudo_tokens is None else len(call.prompt.pseudo_tokens)
    assert n_pseudo + len(call.prompt.token_ids) + call.rule.max_tokens <= 32


# retrieval


def test_the_query_names_the_edited_region() -> None:
    lines = [f"line_{n} = {n}" for n in range(200)]
    lines[100] = "x = ║"
    made = rig(["1"], view_of_all(), ContextMode.TEXT)
    made.engine.complete(request_at("\n".join(lines)), GO)
    (query,) = made.retriever.queries
    first, last = query.excluded
    assert first <= 80 and last >= 121
    assert query.path == "app.py"
    assert "line_99 = 99\nx = " in query.text and "line_30 " not in query.text
    assert query.n_hits == ContextSettings().hits


LINES = [f"    canvas.draw({name})" for name in ("circle", "square", "border", "shadow", "legend")]


def rig_that_remembers(text: str) -> Rig:
    """With `text` as another file of the workspace, in the exact memory only."""
    view = view_of_all()
    made = rig(["1"], view, ContextMode.TEXT)
    index = SuffixIndex(10**6)
    index.update({"lib/chart.py": np.array(made.generator.tokenizer.encode(text), dtype=np.int64)})
    view.memory = index.snapshot()
    return made


def test_the_query_names_the_line_that_followed_where_the_lines_above_are_alike() -> None:
    made = rig_that_remembers("\n".join(["import os", "", *LINES]))
    above = "\n".join(LINES[:3]).replace("circle", "ellipse")
    made.engine.complete(request_at(f"{above}\n    can║"), GO)
    (query,) = made.retriever.queries
    assert query.alike[0] == FileLine("lib/chart.py", 5)
    without = ContextSettings(ContextMode.TEXT, memory=False)
    made.settings = dataclasses.replace(made.settings, context=without)
    made.engine.complete(request_at(f"{above}\n\n    can║"), GO)
    assert made.retriever.queries[1].alike == ()


def test_a_memory_that_fails_costs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> tuple[FileLine, ...]:
        raise RuntimeError("no line here")

    monkeypatch.setattr("hef_lsp.remembering.likest_lines", fails)
    made = rig_that_remembers("\n".join(LINES))
    made.engine.complete(request_at("import os\nx = ║"), GO)
    assert made.retriever.queries[0].alike == ()
    assert "load_config" in made.generator.calls[-1].prompt_text


def test_the_context_stays_while_one_types_in_a_line() -> None:
    made = rig(["zzz"], view_of_all(), ContextMode.TEXT)
    for typed in ("", "a", "a =", "a = b."):
        made.engine.complete(request_at(f"import os\n{typed}║\n"), GO)
    assert len(made.retriever.queries) == 1
    prompts = [call.prompt_text for call in made.generator.calls]
    assert len(prompts) == 4
    assert all(later.startswith(earlier) for earlier, later in pairwise(prompts))
    assert made.generator.calls[-1].generation.n_reused > 0


def test_a_new_generation_that_still_holds_the_context_searches_not_again() -> None:
    view = view_of_all()
    made = rig(["zzz"], view, ContextMode.TEXT)
    made.engine.complete(request_at("import os\na║\n"), GO)
    view.generation += 1
    made.engine.complete(request_at("import os\nab║\n"), GO)
    assert len(made.retriever.queries) == 1


def test_another_line_lost_context_or_an_invoked_request_searches_anew() -> None:
    view = view_of_all()
    made = rig(["zzz"], view, ContextMode.TEXT)
    made.engine.complete(request_at("import os\na║\n"), GO)
    made.engine.complete(request_at("import os\na\nb║\n"), GO)
    view.hits = view.hits[1:]
    made.engine.complete(request_at("import os\na\nbc║\n"), GO)
    made.engine.complete(request_at("import os\na\nbc║\n", invoked=True), GO)
    made.engine.complete(request_at("import re\na\nbcd║\n"), GO)
    assert len(made.retriever.queries) == 5


def test_pseudo_tokens_are_projected_once_for_the_same_memories() -> None:
    made = rig(["zzz"], view_of_all(), ContextMode.DENSE)
    for typed in ("a", "ab", "abc"):
        made.engine.complete(request_at(f"import os\n{typed}║\n"), GO)
    assert len(made.bundle.projector.calls) == 1  # type: ignore[union-attr]
    assert made.generator.calls[-1].generation.n_reused > 0


# the store


def test_the_same_request_is_answered_from_the_store() -> None:
    made = rig(["foo(bar)"], view_of_all(), ContextMode.TEXT)
    assert made.engine.lookup(request_at("x = ║\n")) is None
    first = made.engine.complete(request_at("x = ║\n"), GO)
    assert made.engine.lookup(request_at("x = ║\n")) == first
    assert made.engine.complete(request_at("x = ║\n"), GO) == first
    assert len(made.generator.calls) == 1
    explanation = made.engine.last_explanation
    assert explanation is not None
    assert (explanation.source, explanation.suggestions) == ("exact", ("foo(bar)",))
    assert [hit.path for hit in explanation.hits] == ["lib/config.py", "lib/widget.py"]


def test_what_was_typed_of_a_suggestion_leaves_the_rest() -> None:
    made = rig(["foo(bar)"])
    made.engine.complete(request_at("x = ║\n"), GO)
    assert made.engine.lookup(request_at("x = fo║\n")) == [Suggestion("o(bar)", 6, 6)]
    assert made.engine.last_explanation is not None
    assert made.engine.last_explanation.source == "typed-through"
    assert made.engine.lookup(request_at("x = foo(bar)║\n")) is None
    assert made.engine.lookup(request_at("x = foo(║)\n")) is None


def test_a_block_is_typed_through_over_its_line_ends_even_with_carriage_returns() -> None:
    made = rig(["\n    return x"])
    made.engine.complete(request_at("def f(x):║\r\n"), GO)
    assert made.engine.lookup(request_at("def f(x):\r\n    re║\r\n")) == [Suggestion("turn x", 17, 17)]


def test_a_selected_entry_on_the_way_of_a_suggestion_is_typed_through() -> None:
    made = rig(["print(value)"])
    made.engine.complete(request_at("x = ║\n"), GO)
    request = request_at("x = pri║\n", selected=("pri", "print"))
    assert made.engine.lookup(request) == [Suggestion("print(value)", 4, 7)]


def test_a_changed_chunk_ends_what_stood_on_it() -> None:
    view = view_of_all()
    made = rig(["foo(bar)"], view, ContextMode.TEXT)
    made.engine.complete(request_at("x = ║\n"), GO)
    view.change(LOADER, "def load_config(path): ...\n")
    assert made.engine.lookup(request_at("x = ║\n")) is None
    assert made.engine.lookup(request_at("x = f║\n")) is None
    made.engine.complete(request_at("x = ║\n"), GO)
    assert len(made.generator.calls) == 2


def test_a_change_elsewhere_ends_nothing() -> None:
    view = view_of_all()
    made = rig(["foo(bar)"], view, ContextMode.DENSE)
    made.engine.complete(request_at("x = ║\n"), GO)
    view.change(FOLDER, "another digest of the directory, as the user's own typing makes")
    assert made.engine.lookup(request_at("x = ║\n")) is not None


def test_a_chunk_that_only_moved_ends_nothing() -> None:
    view = view_of_all()
    made = rig(["foo(bar)"], view, ContextMode.TEXT)
    made.engine.complete(request_at("x = ║\n"), GO)
    view.hits[0] = chunk_hit(LOADER.node.path, LOADER.text, number=7)
    assert made.engine.lookup(request_at("x = ║\n")) is not None


def test_a_chunk_that_is_gone_ends_what_stood_on_it() -> None:
    view = view_of_all()
    made = rig(["foo(bar)"], view, ContextMode.TEXT)
    made.engine.complete(request_at("x = ║\n"), GO)
    view.hits.remove(LOADER)
    assert made.engine.lookup(request_at("x = ║\n")) is None


def test_other_settings_are_other_answers() -> None:
    made = rig(["foo(bar)"], view_of_all(), ContextMode.TEXT)
    made.engine.complete(request_at("x = ║\n"), GO)
    made.settings = settings_with(ContextMode.NONE)
    assert made.engine.lookup(request_at("x = ║\n")) is None


def test_a_closed_document_is_forgotten() -> None:
    made = rig(["foo(bar)"])
    made.engine.complete(request_at("x = ║\n"), GO)
    assert made.engine.explanation(URI) is not None
    made.engine.forget(URI)
    assert made.engine.explanation(URI) is None
    assert made.engine.lookup(request_at("x = ║\n")) is None


# time


def test_a_cancelled_request_computes_nothing() -> None:
    made = rig(["foo"], view_of_all(), ContextMode.TEXT)
    cancel = ManualCancel()
    cancel.cancel()
    assert made.engine.complete(request_at("x = ║\n"), cancel) == []
    assert made.retriever.queries == [] and made.generator.calls == []


def test_cancel_is_heard_between_the_stages() -> None:
    made = rig(["foo"], view_of_all(), ContextMode.TEXT)
    assert made.engine.complete(request_at("x = ║\n"), ManualCancel(after_reads=1)) == []
    assert len(made.retriever.queries) == 1
    assert made.generator.calls == []


def test_no_token_is_computed_after_cancel_and_nothing_half_done_is_kept() -> None:
    made = rig(bundle=fake_bundle(FakeGenerator(["word " * 500], delay_s=0.002)))
    cancel = ManualCancel()
    answers: list[list[Suggestion]] = []
    request = request_at("x = ║\n", invoked=True, n_alternatives=3)
    thread = threading.Thread(target=lambda: answers.append(made.engine.complete(request, cancel)))
    thread.start()
    assert made.generator.first_token.wait(5)
    cancel.cancel()
    thread.join(5)
    assert answers == [[]]
    (call,) = made.generator.calls
    assert call.generation.stop_reason is StopReason.CANCELLED and call.n_after_cancel <= 1
    assert made.engine.lookup(request) is None


def test_the_deadline_ends_generation_and_is_shared_by_the_alternatives() -> None:
    generator = FakeGenerator([f"w{n} " * 500 for n in range(3)], delay_s=0.01)
    made = rig(bundle=fake_bundle(generator), completion=CompletionSettings(deadline_ms=60))
    request = request_at("x = ║\n", invoked=True, n_alternatives=3)
    assert len(made.engine.complete(request, GO)) == 1
    assert [call.generation.stop_reason for call in generator.calls] == [StopReason.DEADLINE]
    assert len({call.rule.deadline_s for call in generator.calls}) == 1


def test_the_deadline_counts_from_the_requests_arrival() -> None:
    made = rig(["foo"])
    request = request_at("x = ║\n", received_s=time.monotonic() - 60)
    assert made.engine.complete(request, GO) == []
    assert made.engine.lookup(request) is None, "there may be something to say when there is time"
    explanation = made.engine.last_explanation
    assert explanation is not None and explanation.timings.queue_ms >= 60_000


# explanation


def test_the_explanation_can_travel_as_json() -> None:
    made = rig(["foo(bar)"], view_of_all(), ContextMode.TEXT)
    made.engine.complete(request_at("import os\nx = ║\n"), GO)
    sent = json.loads(json.dumps(dataclasses.asdict(made.engine.last_explanation)))  # type: ignore[arg-type]
    assert (sent["uri"], sent["path"], sent["line"], sent["mode"]) == (URI, "app.py", 1, "text")
    assert sent["hits"][0] == {
        "kind": "chunk",
        "path": "lib/config.py",
        "start_line": 10,
        "end_line": 13,
        "score": 0.9,
        "dense_score": 0.9,
        "lexical_score": 0.1,
        "text": LOADER.text,
        "used": True,
        "alike": False,
    }
    assert sent["n_prompt_tokens"] == sent["n_reused"] + sent["n_prefilled"] > 0
    assert sent["stop_reasons"] == ["end_of_text"]
    timings = sent["timings"]
    assert (
        timings["total_ms"] >= timings["retrieve_ms"] + timings["prompt_ms"] + timings["postprocess_ms"] > 0
    )


def test_each_document_has_its_own_explanation() -> None:
    made = rig(["foo"])
    made.engine.complete(request_at("x = ║\n"), GO)
    made.engine.complete(request_at("y = ║\n", uri="file:///work/b.py", path="b.py"), GO)
    mine, last = made.engine.explanation(URI), made.engine.last_explanation
    assert mine is not None and mine.path == "app.py"
    assert last is not None and last.path == "b.py"

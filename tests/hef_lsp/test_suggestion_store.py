"""The suggestion store: exact and typed-through hits, and all the ways in which an entry must not answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hef_lsp.cache import ContextSources, Place, SuggestionStore
from hef_lsp.explanation import Explanation

SOURCES: ContextSources = frozenset({"d0"})
WHY = Explanation("u", "a.py", 0, "none")


def place(prefix: str, suffix: str = "\n", uri: str = "u", fingerprint: str = "s") -> Place:
    return Place(uri, prefix, suffix, fingerprint)


def put(
    store: SuggestionStore, at: Place, *texts: str, multiline: bool = False, n_asked: int = 1
) -> SuggestionStore:
    store.put(at, texts, multiline, n_asked, SOURCES, WHY)
    return store


def texts(
    store: SuggestionStore, at: Place, multiline: bool = False, n_wanted: int = 1, current: bool = True
) -> tuple[str, ...] | None:
    found = store.lookup(at, multiline, n_wanted, lambda _: current)
    return None if found is None else found.texts


def test_exact_and_typed_through() -> None:
    store = put(SuggestionStore(), place("x = "), "foo(bar)")
    exact = store.lookup(place("x = "), False, 1, lambda _: True)
    through = store.lookup(place("x = foo("), False, 1, lambda _: True)
    assert exact is not None and (exact.texts, exact.typed_through) == (("foo(bar)",), False)
    assert through is not None and (through.texts, through.typed_through) == (("bar)",), True)


@pytest.mark.parametrize(
    "at",
    [
        place("x = fox"),  # typed something else
        place("x ="),  # went back
        place("y = "),
        place("x = foo(bar)"),  # typed all of it
        place("x = foo(bar)!"),
        place("x = ", suffix=")\n"),  # the editor closed a bracket
        place("x = foo", suffix="\ny"),
        place("x = ", uri="other"),
        place("x = ", fingerprint="other settings"),
    ],
)
def test_no_answer_elsewhere(at: Place) -> None:
    assert texts(put(SuggestionStore(), place("x = "), "foo(bar)"), at) is None


def test_a_cache_that_ignores_the_suffix_would_answer_here() -> None:
    store = put(SuggestionStore(), place("f(", ")\n"), "a")
    put(store, place("f(", "\n"), "a)")
    assert texts(store, place("f(", ")\n")) == ("a",)
    assert texts(store, place("f(", "\n")) == ("a)",)


def test_an_edit_far_above_that_keeps_the_length_is_seen_within_the_window() -> None:
    store = put(SuggestionStore(), place("aaaa\n" * 100 + "x = "), "1")
    assert texts(store, place("aaab\n" + "aaaa\n" * 99 + "x = ")) is None


def test_alternatives_that_were_typed_past_fall_away() -> None:
    store = put(SuggestionStore(), place("x = "), "foo", "far", "bar", multiline=True, n_asked=3)
    assert texts(store, place("x = "), n_wanted=3) == ("foo", "far", "bar")
    assert texts(store, place("x = f"), n_wanted=3) == ("oo", "ar")
    assert texts(store, place("x = b")) == ("ar",)


def test_an_entry_answers_only_what_it_was_asked_for() -> None:
    store = put(SuggestionStore(), place("x = "), "one line")
    assert texts(store, place("x = "), multiline=True) is None
    assert texts(store, place("x = "), n_wanted=3) is None
    put(store, place("x = "), "block\n  more", multiline=True, n_asked=3)
    assert texts(store, place("x = "), multiline=True, n_wanted=3) == ("block\n  more",)
    assert texts(store, place("x = ")) == ("block\n  more",)


def test_nothing_to_say_is_an_answer_at_its_very_place_only() -> None:
    store = put(SuggestionStore(), place("x = "))
    assert texts(store, place("x = ")) == ()
    assert texts(store, place("x = a")) is None


def test_a_stale_entry_is_dropped_for_good() -> None:
    store = put(SuggestionStore(), place("x = "), "foo")
    assert texts(store, place("x = "), current=False) is None
    assert len(store) == 0 and store.n_bytes == 0


def test_a_stale_entry_does_not_hide_a_current_one() -> None:
    store = put(SuggestionStore(), place("x = "), "foo")
    store.put(place("x = f"), ("stale",), False, 1, frozenset({"gone"}), WHY)
    found = store.lookup(place("x = f"), False, 1, lambda sources: sources == SOURCES)
    assert found is not None and found.texts == ("oo",)


def test_the_least_recently_used_goes_first() -> None:
    store = SuggestionStore(max_entries=2)
    put(store, place("a"), "1")
    put(store, place("b"), "2")
    assert texts(store, place("a")) == ("1",)
    put(store, place("c"), "3")
    assert texts(store, place("b")) is None
    assert texts(store, place("a")) == ("1",)


def test_bytes_are_bounded_and_counted() -> None:
    store = SuggestionStore(max_bytes=10_000)
    for number in range(100):
        put(store, place(f"{number} = "), "é" * 500)
        assert store.n_bytes <= 10_000
    assert 1 <= len(store) < 10
    put(store, place("x = "), "y" * 20_000)
    assert store.n_bytes == 0 == len(store)


def test_forgetting_a_document_keeps_the_others() -> None:
    store = put(SuggestionStore(), place("a"), "1")
    put(store, place("a", uri="v"), "2")
    store.forget("u")
    assert texts(store, place("a")) is None
    assert texts(store, place("a", uri="v")) == ("2",)
    store.clear()
    assert len(store) == 0 == store.n_bytes


@given(st.text(min_size=1, max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_what_is_answered_continues_what_was_typed(text: str, prefix: str, typed: str, suffix: str) -> None:
    store = put(SuggestionStore(), place(prefix, suffix), text)
    answer = texts(store, place(prefix + typed, suffix))
    if text.startswith(typed) and typed != text:
        assert answer == (text[len(typed) :],)
    else:
        assert answer is None


def test_two_threads_do_no_harm() -> None:
    store = SuggestionStore(max_entries=8)

    def work(seed: int) -> None:
        for number in range(300):
            at = place(f"{(number + seed) % 12} = ")
            put(store, at, "text")
            store.lookup(at, False, 1, lambda _, current=number % 3 > 0: current)
            if number % 50 == 0:
                store.forget("u")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, seed) for seed in range(4)]:
            done.result()
    store.forget("u")
    assert len(store) == 0 == store.n_bytes

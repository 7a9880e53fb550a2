"""What holds of the filters for every document and every generation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hef_lsp.postprocess import FILTERS, Draft, Filter, postprocess

PIECES = [
    *"()[]{}\"'`:;,.#\\ \n\t",
    *(
        "    ",
        "\n    ",
        "\n\t",
        "\r\n",
        "\n\n",
        '"""',
        "'''",
        "//",
        "/*",
        "*/",
        "...",
        "<|endoftext|>",
        "</s>",
    ),
    *(
        "def f(x):",
        "return x",
        "x",
        "foo",
        "if a {",
        "}",
        "});",
        "else:",
        "end",
        "a = 1",
        "é",
        "日本",
        "😀",
        "\u2028",
    ),
]
code = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=20)
drafts = st.builds(
    Draft,
    text=code,
    prefix=code,
    suffix=code,
    multiline=st.booleans(),
    language=st.sampled_from(["python", "javascript", "rust", "ruby", None]),
)


def _is_subsequence(small: str, large: str) -> bool:
    rest = iter(large)
    return all(character in rest for character in small)


def _without_space(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=400, deadline=None)
@given(drafts)
@example(Draft("\t\t\t x\n     y", "\t if a {\n\tb\n\t", "", True, "go"))
def test_filtering_twice_changes_nothing(draft: Draft) -> None:
    once = postprocess(draft)
    if once is not None:
        assert postprocess(replace(draft, text=once)) == once


@settings(max_examples=400, deadline=None)
@given(drafts)
def test_nothing_is_added_that_was_not_generated(draft: Draft) -> None:
    result = postprocess(draft)
    if result is not None:
        assert _is_subsequence(_without_space(result), _without_space(draft.text))


@settings(max_examples=200, deadline=None)
@given(drafts)
def test_a_suggestion_has_content_and_keeps_its_mode(draft: Draft) -> None:
    result = postprocess(draft)
    if result is not None:
        assert result.strip()
        assert "\r" not in result
        assert draft.multiline or "\n" not in result.strip()


@pytest.mark.parametrize(("name", "apply"), FILTERS)
def test_each_filter_settles(name: str, apply: Filter) -> None:
    @settings(max_examples=100, deadline=None)
    @given(drafts)
    def settles(draft: Draft) -> None:
        seen = draft
        for _ in range(16):
            filtered = apply(seen)
            if filtered is None or filtered == seen:
                return
            assert len(_without_space(filtered.text)) <= len(_without_space(seen.text)), name
            seen = filtered
        raise AssertionError(f"{name} goes on changing its own result: {seen!r}")

    settles()


def test_carriage_returns_in_document_and_generation_do_no_harm() -> None:
    draft = Draft("y = 1\r\n    return y", "def f(x):\r\n    ", "\r\n    return y\r\n", True, "python")
    assert postprocess(draft) == "y = 1"


def test_filters_that_never_settle_say_nothing() -> None:
    def restless(draft: Draft) -> Draft:
        return draft.with_text(draft.text + "x")

    assert postprocess(Draft("a", "", "", False), (("restless", restless),)) is None


def test_a_huge_document_is_filtered_by_its_neighbourhood() -> None:
    prefix = "def f(x):\n    return (x)\n" * 20_000 + "print("
    assert postprocess(Draft("foo(x))", prefix, ")\n" + prefix, False, "python")) == "foo(x)"

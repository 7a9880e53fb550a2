"""Chunks cover a file, keep to the limit, fall on syntax, and stay as they are when others change."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.chunk import Chunk, make_chunk
from indexer.chunker import chunk_source, diff_chunks
from indexer.grammars import LANGUAGES

LIMIT = 128


def count_words(texts: list[str]) -> list[int]:
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def chunks_of(text: str, language: str | None = "python", limit: int = LIMIT) -> list[Chunk]:
    return chunk_source("a.py", language, text, count_words, limit)


def split_lines(text: str) -> list[str]:
    return re.split(r"\r\n|\n|\r", text)


def assert_sound(text: str, chunks: list[Chunk], limit: int) -> None:
    """Everything the contract says of the chunks of any text."""
    lines = split_lines(text)
    covered: set[int] = set()
    previous_end = 0
    for chunk in chunks:
        assert previous_end <= chunk.start_line < chunk.end_line <= len(lines)
        previous_end = chunk.end_line
        assert chunk.text == "\n".join(lines[chunk.start_line : chunk.end_line])
        assert lines[chunk.start_line].strip()
        assert lines[chunk.end_line - 1].strip()
        assert chunk.n_tokens <= limit or chunk.end_line == chunk.start_line + 1
        covered.update(range(chunk.start_line, chunk.end_line))
    wanted = {i for i, line in enumerate(lines) if line.strip() and len(line) <= 4096}
    assert wanted <= covered
    assert all(len(lines[i]) <= 4096 for i in covered)


fragments = st.sampled_from(
    ["def f(x):", "    return x", "class A:", "  # note", "}", "{", "if (a) {", "else {", "end", "", "", "  ",
     "x = 1", "x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]", '"""', "'''", "@decorator", "fn f() {",
     "/*", "*/", "// note", "#[attr]", "public void f() {", "<?php", "a\x0cb", "a\u2028b", "é = '∀'",
     "(((", "a < b < c <", "word " * 140, "y" * 5000]
)  # fmt: skip
texts = st.builds(
    lambda lines, ends: "".join(line + end for line, end in zip(lines, ends * len(lines), strict=False)),
    st.lists(fragments, max_size=60),
    st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(texts, st.sampled_from([None, *sorted(LANGUAGES)]), st.sampled_from([1, 8, 32, 128]))
def test_any_text_gives_sound_chunks(text: str, language: str | None, limit: int) -> None:
    assert_sound(text, chunks_of(text, language, limit), limit)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300), st.sampled_from([None, *sorted(LANGUAGES)]))
def test_any_characters_give_sound_chunks(text: str, language: str | None) -> None:
    assert_sound(text, chunks_of(text, language), LIMIT)


@pytest.mark.parametrize("text", ["", "\n", " \n\t\r\n", "\x0c"])
def test_blank_text_has_no_chunks_and_counts_nothing(text: str) -> None:
    def refuse(texts: list[str]) -> list[int]:
        raise AssertionError(f"asked to count {texts}")

    assert chunk_source("a.py", "python", text, refuse) == []


def test_chunks_know_their_place_and_digest() -> None:
    (chunk,) = chunks_of("\n\nx = 1\n", "python")
    assert chunk == make_chunk("a.py", "python", 2, 3, "x = 1", 3)
    assert chunks_of("x = 1", None)[0].language == "text"


def test_line_endings_do_not_change_digests() -> None:
    text = function(1, 12) + "\n\n" + function(2, 12)
    unix = [chunk.digest for chunk in chunks_of(text)]
    assert [chunk.digest for chunk in chunks_of(text.replace("\n", "\r\n"))] == unix
    assert [chunk.digest for chunk in chunks_of(text.replace("\n", "\r"))] == unix


def test_form_feed_and_line_separator_end_no_line() -> None:
    (chunk,) = chunks_of("a = 1\x0c\nb = '\u2028\u0085\x0b'\nc = 3\n")
    assert (chunk.start_line, chunk.end_line) == (0, 3)


def test_all_lines_are_counted_in_one_call_and_repeats_once() -> None:
    calls: list[list[str]] = []

    def count(texts: list[str]) -> list[int]:
        calls.append(list(texts))
        return count_words(texts)

    chunk_source("a.py", "python", "pass\n" * 500 + "x = 1\n", count)
    assert calls == [["pass", "x = 1"]]


def test_a_line_over_the_limit_is_a_chunk_of_its_own() -> None:
    long = "x = [" + "1, " * 100 + "]"
    chunks = chunks_of(f"a = 1\n{long}\nb = 2\n")
    assert [chunk.text for chunk in chunks] == ["a = 1", long, "b = 2"]
    assert chunks[1].n_tokens > LIMIT


def test_an_absurd_line_is_left_out_and_parts_its_neighbours() -> None:
    chunks = chunks_of("a = 1\nx = '" + "y" * 5000 + "'\nb = 2\n")
    assert [chunk.text for chunk in chunks] == ["a = 1", "b = 2"]


def function(number: int, n_lines: int, indent: str = "") -> str:
    body = [f"{indent}    value_{i} = compute_{number}(value_{i}, {i * number})" for i in range(n_lines)]
    return "\n".join([f"{indent}def function_{number}(first, second):", *body, f"{indent}    return value_0"])


def test_functions_that_fit_are_chunks_of_their_own() -> None:
    functions = [function(n, 8) for n in range(6)]
    assert [chunk.text for chunk in chunks_of("\n\n\n".join(functions))] == functions


def test_small_neighbours_share_a_chunk() -> None:
    text = "\n\n".join(f"def f{n}():\n    return {n}" for n in range(30))
    chunks = chunks_of(text)
    assert len(chunks) < 15
    assert all(chunk.text.startswith("def f") for chunk in chunks)


def test_methods_of_a_large_class_are_chunks_of_their_own() -> None:
    methods = [function(n, 8, indent="    ") for n in range(4)]
    header = 'class Big:\n    """' + "What it is for, in many words. " * 5 + '"""'
    chunks = chunks_of(header + "\n\n" + "\n\n".join(methods))
    assert [chunk.text for chunk in chunks] == [header, *methods]


def test_comments_and_decorators_stay_with_what_follows() -> None:
    second = "# Why it is so,\n# in two lines.\n@cached\n@logged(level=1)\n" + function(2, 9)
    chunks = chunks_of(function(1, 9) + "\n\n\n" + second)
    assert [chunk.text.splitlines()[0] for chunk in chunks] == [
        "def function_1(first, second):",
        "# Why it is so,",
    ]


def test_a_comment_after_a_blank_line_is_not_torn_from_its_definition() -> None:
    text = function(1, 9) + "\n\n# Section\n\n# About two.\n" + function(2, 9)
    assert chunks_of(text)[-1].text.startswith("# About two.") or "# Section" in chunks_of(text)[-1].text


def test_closing_brackets_stay_with_the_block_they_close() -> None:
    body = "\n".join(f"  const value{n} = compute(value{n - 1}, {n});" for n in range(1, 40))
    chunks = chunks_of(f"function big() {{\n{body}\n}}\n\nfunction next() {{\n{body}\n}}\n", "javascript")
    assert not any(chunk.text.startswith("}") for chunk in chunks)


def test_a_syntax_error_leaves_sound_parts_cut_as_before() -> None:
    sound = [function(n, 8) for n in range(6)]
    broken = [*sound[:3], "def half_typed(first,\n    value = [1, 2", *sound[3:]]
    before = {chunk.digest for chunk in chunks_of("\n\n\n".join(sound))}
    after = {chunk.digest for chunk in chunks_of("\n\n\n".join(broken))}
    assert len(before - after) <= 2


def test_languages_without_a_grammar_are_cut_at_blank_lines_where_they_can() -> None:
    paragraphs = ["\n".join(f"line {n} of paragraph {p} with words" for n in range(8)) for p in range(8)]
    chunks = chunks_of("\n\n".join(paragraphs), None)
    assert all(chunk.text.split("\n")[0].startswith("line 0 ") for chunk in chunks)


# Stability: what is edited changes, what is not stays.


def changed(before: str, after: str, language: str | None = "python") -> tuple[int, int]:
    """How many chunks an edit adds, and how many there are."""
    new = chunks_of(after, language)
    return len(diff_chunks([chunk.digest for chunk in chunks_of(before, language)], new).added), len(new)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=8, max_size=25),
    data=st.data(),
    inserted=st.lists(
        st.sampled_from(["    x = 1", "", "    # note", "    y = call(1, 2)"]), min_size=1, max_size=6
    ),
)
def test_an_edit_inside_one_function_changes_few_chunks(
    sizes: list[int], data: st.DataObject, inserted: list[str]
) -> None:
    functions = [function(n, size) for n, size in enumerate(sizes)]
    place = data.draw(st.integers(0, len(sizes) - 1))
    lines = functions[place].split("\n")
    at = data.draw(st.integers(1, len(lines) - 1))
    edited = [*functions]
    edited[place] = "\n".join([*lines[:at], *inserted, *lines[at:]])
    n_added, _ = changed("\n\n\n".join(functions), "\n\n\n".join(edited))
    own = len(chunks_of(edited[place]))
    # The function's own chunks, and a neighbour on either side that shares one with it.
    assert n_added <= own + 2


@pytest.mark.parametrize("language", ["python", "javascript", None])
def test_inserting_a_line_into_a_long_table_changes_few_chunks(language: str | None) -> None:
    # No definitions to begin anew at: the cuts must fall into step by themselves.
    generator = random.Random(7)
    rows = [f'    ("{generator.random():.9f}", {n}, {generator.randrange(1000)}),' for n in range(1500)]
    worst = 0
    for place in range(50, 1500, 150):
        edited = [*rows[:place], '    ("new", 1, 2),', *rows[place:]]
        n_added, n_chunks = changed(
            "\n".join(["table = [", *rows, "]"]), "\n".join(["table = [", *edited, "]"]), language
        )
        worst = max(worst, n_added)
    assert worst <= 12
    assert n_chunks > 100


def test_inserting_a_function_leaves_the_others_alone() -> None:
    functions = [function(n, n % 12) for n in range(40)]
    for place in range(40):
        edited = [*functions[:place], function(99, 5), *functions[place:]]
        n_added, _ = changed("\n\n".join(functions), "\n\n".join(edited))
        assert n_added <= 4


def test_moving_a_function_keeps_its_chunk() -> None:
    functions = [function(n, 8) for n in range(10)]
    n_added, _ = changed("\n\n".join(functions), "\n\n".join([functions[-1], *functions[:-1]]))
    assert n_added == 0


# Speed: no text may hold up the index.


@pytest.mark.parametrize("language", ["python", "typescript", "csharp", "cpp", "java"])
@pytest.mark.parametrize(
    "text",
    [
        "(" * 50_000,
        "a<" * 50_000,
        "a<b," * 30_000,
        "{\n" * 20_000,
        "a\n+ " * 20_000,
        "x\n" * 50_000,
        "\n" * 100_000,
    ],
    ids=["parens", "generics", "comparisons", "nested blocks", "long sum", "short lines", "blank lines"],
)
def test_pathological_text_is_cut_in_time(language: str, text: str) -> None:
    start = time.process_time()
    chunks_of(text, language)
    assert time.process_time() - start < 60


# Comparing two versions.


def chunk(text: str) -> Chunk:
    return make_chunk("a.py", "python", 0, 1, text, 1)


def test_diff_counts_copies() -> None:
    a, b, c = chunk("a"), chunk("b"), chunk("c")
    diff = diff_chunks([a.digest, a.digest, b.digest], [a, c, a, a])
    assert diff.kept == 2
    assert diff.added == (c, a)
    assert diff.removed == (b.digest,)


def test_diff_of_nothing() -> None:
    assert diff_chunks([], []) == diff_chunks((), [])
    assert diff_chunks([], [chunk("a")]).added == (chunk("a"),)
    assert diff_chunks(["gone"], []).removed == ("gone",)


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12))
def test_diff_agrees_with_the_plain_multiset(old: list[str], new: list[str]) -> None:
    diff = diff_chunks([chunk(text).digest for text in old], [chunk(text) for text in new])
    left = sorted(old)
    for item in new:
        if item in left:
            left.remove(item)
    assert sorted(diff.removed) == sorted(chunk(text).digest for text in left)
    assert diff.kept + len(diff.added) == len(new)
    assert diff.kept + len(diff.removed) == len(old)

"""The gate, the mode, and the texts around the cursor."""

from __future__ import annotations

import pytest
from engine_rig import request_at

from hef_lsp.request import (
    LONGEST_LINE,
    CompletionRequest,
    SelectedCompletion,
    looks_binary,
    multiline_wanted,
    should_complete,
    text_above,
)


@pytest.mark.parametrize(
    "marked",
    [
        "x = ║",
        "x = ║\n",
        "print(║)",
        'print("║")',
        "f([║]);",
        "if (║) {",
        "f(a, ║):\n    pass",
        "/* ║ */",
        "<div class=║/>",
        "║\nx = 1",
    ],
)
def test_an_automatic_request_is_answered_where_only_closers_follow(marked: str) -> None:
    assert should_complete(request_at(marked)) is None


@pytest.mark.parametrize(
    ("marked", "reason"),
    [
        ("foo║bar", "the cursor is inside a word"),
        ("naï║ve", "the cursor is inside a word"),
        ("x = ║ + 1", "code follows the cursor on its line"),
        ("x = foo║()", "code follows the cursor on its line"),
        ("foo(║bar)", "code follows the cursor on its line"),
        (" \n║\n", "the document is empty"),
        ("║", "the document is empty"),
    ],
)
def test_an_automatic_request_is_refused_and_an_invoked_one_answered(marked: str, reason: str) -> None:
    assert should_complete(request_at(marked)) == reason
    assert should_complete(request_at(marked, invoked=True)) is None


def test_no_trigger_on_delete() -> None:
    assert should_complete(request_at("x = ║", after_deletion=True)) == "text was just deleted"
    assert should_complete(request_at("x = ║", after_deletion=True, invoked=True)) is None


@pytest.mark.parametrize("invoked", [False, True])
def test_some_documents_are_never_completed(invoked: bool) -> None:
    assert should_complete(request_at("x = ║", invoked=invoked), enabled=False) == (
        "completion is disabled in the settings"
    )
    assert "read-only" in str(should_complete(request_at("x = ║", uri="git:/a.py", invoked=invoked)))
    assert "read-only" in str(should_complete(request_at("x = ║", uri="vscode-scm:git/x", invoked=invoked)))
    assert should_complete(request_at("x = ║", uri="vscode-remote://ssh/a.py", invoked=invoked)) is None
    assert should_complete(request_at("x = ║", uri="untitled:Untitled-1", invoked=invoked)) is None
    long = "x" * LONGEST_LINE + "║y"
    assert "longer than" in str(should_complete(request_at(long, invoked=invoked)))
    assert "binary" in str(should_complete(request_at("\0\1\2x = ║", invoked=invoked)))


def test_binary_is_told_from_text() -> None:
    assert looks_binary("abc\0def")
    assert looks_binary("\ufffd" * 20 + "abc")
    assert not looks_binary("def f():\n\treturn '\x1b[0m \f'\n")
    assert not looks_binary("naïve 日本 😀")
    assert not looks_binary("")


def test_a_selected_entry_must_hold_the_cursor() -> None:
    request = request_at("pri║")
    astray = CompletionRequest(request.document, "a.py", None, 3, selected=SelectedCompletion(0, 2, "print"))
    assert should_complete(astray) == "the selected entry does not hold the cursor"
    assert should_complete(request_at("pri║", selected=("pri", "print"))) is None


def test_a_selected_entry_stands_in_the_prefix() -> None:
    request = request_at("x = prt║\ny", selected=("prt", "print"))
    assert request.prefix == "x = print"
    assert request.suffix == "\ny"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_prefix_and_suffix_have_unix_lines(ending: str) -> None:
    request = request_at(ending.join(["a", "b║c", "d", ""]))
    assert (request.prefix, request.suffix) == ("a\nb", "c\nd\n")
    assert (request.line_prefix, request.line_suffix, request.line) == ("b", "c", 1)


def test_form_feed_and_line_separator_do_not_end_a_line() -> None:
    request = request_at("a\f\u2028\u0085b║\nc")
    assert request.line == 0
    assert request.line_prefix == "a\f\u2028\u0085b"


@pytest.mark.parametrize(
    ("marked", "language_id", "wanted"),
    [
        ("def f(x):║\n", "python", True),
        ("def f(x):\n    ║\n", "python", True),
        ("def f(x):\n\n    ║\n\ny = 1\n", "python", True),
        ("def f(x):\n    ║\n    return x\n", "python", False),
        ("def f(x):\n    r║\n", "python", False),
        ("def f(x):\n    a = 1\n    ║\n", "python", False),
        ("x = ║", "python", False),
        ("def f(a,\n      b):║\n", "python", True),
        ("if x == '(':║\n", "python", True),
        ("match x['a']:║\n", "python", True),
        ("def f(x:║\n", "python", False),  # what follows is a type
        ("x = {'key':║\n", "python", False),
        ("    'key':║\n", "python", False),
        ("x = a[1:║\n", "python", False),
        ("f = lambda x:║\n", "python", False),
        ("# as follows:║\n", "python", False),
        ("x = 1  # as follows:║\n", "python", False),
        ("x = 'open:║\n", "python", False),
        ("class A {║", "java", True),
        ("class A {║}", "java", True),
        ("class A {\n  ║\n}\n", "java", True),
        ("class A {\n  ║\n  int x;\n}\n", "java", False),
        ("case 1:║", "java", False),
        ("key:║", "yaml", False),
        ("items.each do |item|║", "ruby", True),
        ("def f(x)║", "ruby", True),
        ("x = f(1)║", "ruby", False),
        ("for f in *; do║", "shell", True),
        ("if (x) { ║foo();", "java", False),
    ],
)
def test_a_block_is_wanted_where_one_begins(marked: str, language_id: str, wanted: bool) -> None:
    request = request_at(marked, path="unknown", language_id=language_id)
    assert multiline_wanted(request) is wanted


def test_an_invoked_request_wants_a_block() -> None:
    assert multiline_wanted(request_at("x = ║", invoked=True))


def test_the_language_is_told_by_the_path_before_the_editor() -> None:
    assert request_at("║", path="a.rs", language_id="plaintext").language == "rust"
    assert request_at("║", path="Untitled", language_id="go").language == "go"
    assert request_at("║", path="Untitled", language_id="").language is None


def test_the_text_above_stays_while_one_types_in_a_line() -> None:
    above = [text_above(request_at(f"import os\nx = 1\n{typed}║\n")) for typed in ("", "y", "y = os.")]
    assert len(set(above)) == 1
    assert text_above(request_at("import os\nx = 2\n║\n")) != above[0]

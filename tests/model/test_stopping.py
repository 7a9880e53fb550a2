"""Where a suggestion ends, as tables of cases: what the generator would say, and what is kept of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.protocols import StopMode, StopReason, StopRule
from model.stopping import Stop, StopTracker, indent_width

L, B = StopMode.LINE, StopMode.BLOCK
END, LIMIT = StopReason.END_OF_TEXT, StopReason.LIMIT


def run(rule: StopRule, pieces: list[str], at_end: StopReason = END) -> tuple[str, StopReason]:
    tracker = StopTracker(rule)
    said = ""
    for piece in pieces:
        answer = tracker.feed(piece)
        if isinstance(answer, Stop):
            return said + answer.text, answer.reason
        said += answer
    return said + tracker.finish(at_end), at_end


def kept(mode: StopMode, prefix: str, generated: str, at_end: StopReason = END) -> str:
    """The text kept; the same whether it comes by letters or all at once."""
    rule = StopRule(max_tokens=99, mode=mode, prefix=prefix)
    whole = run(rule, [generated], at_end)
    assert run(rule, list(generated), at_end)[0] == whole[0]
    return whole[0]


LINES = {
    "to the end of the line": ("x = ", "foo(a)\ny = 2\n", "foo(a)"),
    "CRLF": ("x = ", "foo(a)\r\ny = 2\r\n", "foo(a)"),
    "a lone CR": ("x = ", "foo(a)\ry", "foo(a)"),
    "a complete line yields the next one": ("return x", "\n\ny = 2\nz = 3\n", "\n\ny = 2"),
    "blanks before the line's end count as nothing": ("x = 1", "  \n    y\nz", "  \n    y"),
    "on a blank line that stays blank": ("    ", "\n    foo()\nbar", "\n    foo()"),
    "nothing but blank lines": ("x", "\n\n\n\ny", ""),
    "nothing at all": ("x", "", ""),
    "no line end": ("x = ", "foo", "foo"),
    "U+2028 and form feed are no line ends": ("x = ", "'a\u2028b\fc'\n", "'a\u2028b\fc'"),
}


@pytest.mark.parametrize("case", LINES)
def test_line(case: str) -> None:
    prefix, generated, expected = LINES[case]
    assert kept(L, prefix, generated) == expected


PYTHON = {
    "the body of a new function": (
        "def f(x):",
        "\n    y = x\n\n    return y\n\n\ndef g():\n",
        "\n    y = x\n\n    return y",
    ),
    "the rest of a block from a blank line": (
        "def f(x):\n    ",
        "y = x\n    return y\nf(1)\n",
        "y = x\n    return y",
    ),
    "no indentation typed yet": ("def f(x):\n", "    y = x\n    return y\nf(1)\n", "    y = x\n    return y"),
    "deeper blocks inside": (
        "def f(x):\n    ",
        "for a in x:\n        if a:\n            b()\n    c()\ng",
        "for a in x:\n        if a:\n            b()\n    c()",
    ),
    "else of an outer block is left out": ("if a:\n    ", "b()\nelse:\n    c()\n", "b()"),
    "a call over several lines": ("x = foo(", "\n    a,\n    b,\n)\ny = 1\n", "\n    a,\n    b,\n)"),
    "a call on one line": ("x = foo(", "a, b)\ny = 1\n", "a, b)"),
    "unindented text in brackets": (
        "def f():\n    ",
        "x = [\n1,\n2]\n    return x\ng()\n",
        "x = [\n1,\n2]\n    return x",
    ),
    "unindented text in a docstring": (
        "def f():\n    ",
        '"""A.\n\n\nB (\n    """\n    pass\ng()\n',
        '"""A.\n\n\nB (\n    """\n    pass',
    ),
    "two blank lines": ("x = 1\n", "y = 2\n\n\nz = 3\n", "y = 2"),
    "one blank line": ("x = 1\n", "y = 2\n\nz = 3\n", "y = 2\n\nz = 3\n".rstrip("\n")),
    "closing what was opened on an earlier line": ("foo(\n    a,\n    ", "b,\n)\nbar()\n", "b,\n)"),
    "closing it within a line": ("foo(\n    a,\n    ", "b)\nbar()\n", "b)"),
    "closing what was never opened": ("x = a", " + b)\ny", " + b"),
    "closing twice what was opened once": ("x = foo(a", "))\ny", ")"),
    "a bracket in a string": ("x = foo(", "')'))\ny", "')')"),
    "a bracket in a comment": ("def f():\n    ", "a = 1  # :)\n    b = 2\nc", "a = 1  # :)\n    b = 2"),
    "division is no comment": ("def f():\n    x = (", "a // b)\n    return x\n", "a // b)"),
    "the suite of a signature": ("def f(", "a, b):\n    return a\nf()\n", "a, b):\n    return a"),
    "a complete statement yields its siblings": ("a = 1", "\nb = 2\nc = 3\n\n\nd", "\nb = 2\nc = 3"),
    "nothing where the block is over": ("def f():\n    return 1", "\n\ndef g():\n    pass\n", ""),
    "blank lines for ever": ("def f():", "\n" * 9, ""),
    "a word that begins like a closing word": ("def f():\n    ", "a()\nendpoint = 2\n", "a()"),
    "tabs": ("def f():\n\t", "a()\n\tb()\nc()\n", "a()\n\tb()"),
}

C_LIKE = {
    "a braced block and its brace": ("if (x) {", "\n  foo();\n}\nbar();\n", "\n  foo();\n}"),
    "else goes on": ("if (x) {", "\n  a();\n} else {\n  b();\n}\nc();\n", "\n  a();\n} else {\n  b();\n}"),
    "a brace on its own line": ("void f()", "\n{\n  return;\n}\n\nvoid g()\n{\n}\n", "\n{\n  return;\n}"),
    "the body and the closing brace": ("int f() {\n  ", "return 1;\n}\n\nint g() {\n", "return 1;\n}"),
    "the body, then else": ("if (x) {\n  ", "a();\n} else {\n  b();\n}\n", "a();\n}"),
    "do while": ("do {\n  ", "a();\n} while (x);\nb();\n", "a();\n} while (x);"),
    "a callback": ("foo(function () {\n  ", "a();\n});\nb();\n", "a();\n});"),
    "one closer too many": ("int f() {\n  ", "return 1;\n}}\n", "return 1;\n}"),
    "labels at the brace's level": (
        "class A {",
        "\npublic:\n  A();\nprivate:\n  int a;\n};\nint b;\n",
        "\npublic:\n  A();\nprivate:\n  int a;\n};",
    ),
    "braces in comments and strings": (
        "void f() {",
        '\n  // }\n  a("}");\n  /* }\n} */\n  b();\n}\nc\n',
        '\n  // }\n  a("}");\n  /* }\n} */\n  b();\n}',
    ),
    "lifetimes are no strings": (
        "fn f<'a>(x: &'a str) -> &'a str {",
        "\n    x\n}\n\nfn g() {\n",
        "\n    x\n}",
    ),
    "a template text over lines": ("function f() {\n  ", "a(`\n}\n`);\n}\n", "a(`\n}\n`);\n}"),
    "CRLF": ("if (x) {", "\r\n  foo();\r\n}\r\nbar();\r\n", "\r\n  foo();\r\n}"),
    "closers left open by the prefix only": ("  a();\n  ", "b();\n}\n", "b();"),
}

OTHERS = {
    "Ruby: end": ("def f", "\n  1\nend\n\ndef g\n", "\n  1\nend"),
    "Ruby: end from inside": ("def f\n  ", "1\nend\n\ndef g\n", "1\nend"),
    "shell: fi": ("if true; then\n  ", "ls\nfi\nls\n", "ls\nfi"),
    "YAML: a mapping": (
        "services:\n  web:\n    ",
        "image: x\n    ports:\n      - 80\n  db:\n    image: y\n",
        "image: x\n    ports:\n      - 80",
    ),
    "YAML: after a key": ("web:", "\n  image: x\n  ports: []\ndb:\n", "\n  image: x\n  ports: []"),
    "YAML: items level with their key": (
        "items:",
        "\n- a\n- b: 1\n  c: 2\nother:\n",
        "\n- a\n- b: 1\n  c: 2",
    ),
    "YAML: items below their key": ("items:\n  - a\n  ", "- b\n  - c\nother:\n", "- b\n  - c"),
}


@pytest.mark.parametrize("case", PYTHON)
def test_python_block(case: str) -> None:
    prefix, generated, expected = PYTHON[case]
    assert kept(B, prefix, generated) == expected


@pytest.mark.parametrize("case", C_LIKE)
def test_block_of_c_like_languages(case: str) -> None:
    prefix, generated, expected = C_LIKE[case]
    before = "" if case.startswith("closers left") else "// about\nint a;\n"
    assert kept(B, before + prefix, generated) == expected


@pytest.mark.parametrize("case", OTHERS)
def test_block_of_other_languages(case: str) -> None:
    prefix, generated, expected = OTHERS[case]
    assert kept(B, prefix, generated) == expected


def test_a_block_cut_short_by_the_limit_keeps_whole_lines() -> None:
    assert kept(B, "def f():\n    ", "a = 1\n    b = 2\n    c = fo", LIMIT) == "a = 1\n    b = 2"


def test_the_first_line_is_kept_even_when_cut_short() -> None:
    assert kept(B, "def f():\n    ", "a = 1 + ", LIMIT) == "a = 1 + "
    assert kept(L, "a = ", "1 + ", LIMIT) == "1 + "


def test_the_end_of_the_text_completes_the_last_line() -> None:
    assert kept(B, "def f():\n    ", "a = 1\n    b = 2", END) == "a = 1\n    b = 2"


def test_a_block_stops_at_the_first_letter_that_falls_back() -> None:
    """The rest of the line that is out would be decoded for nothing."""
    tracker = StopTracker(StopRule(max_tokens=9, mode=B, prefix="def f():\n    "))
    assert tracker.feed("a()\n") == "a()"
    assert tracker.feed("c") == Stop("", StopReason.BLOCK)


def test_a_line_streams_before_its_end() -> None:
    tracker = StopTracker(StopRule(max_tokens=9, prefix="x = "))
    assert tracker.feed("fo") == "fo"
    assert tracker.feed("o()") == "o()"
    assert tracker.feed(" \n more") == Stop(" ", StopReason.LINE)


def test_a_prefix_of_a_hundred_thousand_lines_is_not_scanned_whole() -> None:
    prefix = "foo(\n" * 100_000 + "    "
    assert kept(B, prefix, "a()\n    b()\n", END) == "a()\n    b()"


@pytest.mark.parametrize(
    ("line", "width"), [("a", 0), ("  a", 2), ("\ta", 4), (" \ta", 4), ("   ", 3), ("", 0)]
)
def test_indent_width(line: str, width: int) -> None:
    assert indent_width(line) == width


TEXT = st.text(alphabet="ab:(){}[]\"'#/`-\\ \t\n\r", max_size=60)


@given(prefix=TEXT, generated=TEXT, mode=st.sampled_from(StopMode), reason=st.sampled_from([END, LIMIT]))
def test_what_is_kept_begins_the_generated_text_and_not_how_it_was_cut(
    prefix: str, generated: str, mode: StopMode, reason: StopReason
) -> None:
    """`kept` compares letter by letter with all at once; both must be a start of what was generated."""
    assert generated.startswith(kept(mode, prefix, generated, reason))

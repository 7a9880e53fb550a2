"""Which brackets a line leaves open, whatever strings and comments say."""

import pytest

from model.brackets import BracketScanner, uses_slash_comments


@pytest.mark.parametrize(
    ("line", "n_open"),
    [
        ("f(a, [b", 2),
        ("f('(', \"[\", '\\'(')", 0),
        ("f(  # (", 1),
        ("a//(b", 1),
        ("don't (", 1),
        ("({)", 0),
        ("x = '#' + (", 1),
    ],
)
def test_hash_family(line: str, n_open: int) -> None:
    scanner = BracketScanner(slash_comments=False)
    scanner.feed(line)
    assert scanner.n_inner == n_open


@pytest.mark.parametrize(
    ("line", "n_open"), [("f(); // (", 0), ("#define A {", 1), ("/* ( */ {", 1), ("a(`(`)", 0), ("x('{')", 0)]
)
def test_slash_family(line: str, n_open: int) -> None:
    scanner = BracketScanner(slash_comments=True)
    scanner.feed(line)
    assert scanner.n_inner == n_open


def test_a_stray_closer_is_placed() -> None:
    assert BracketScanner(False).feed("a + b) + c").stray == 5


def test_outer_brackets_are_told_apart() -> None:
    scanner = BracketScanner(False)
    scanner.feed("f(", outer=True)
    assert scanner.n_inner == 0
    assert scanner.feed("a)").closed_outer
    assert scanner.feed(")").stray == 0


def test_triple_quotes_run_over_lines() -> None:
    scanner = BracketScanner(False)
    scanner.feed('x = """ (')
    assert scanner.in_multiline_text
    scanner.feed(") ' (")
    scanner.feed('""" + (')
    assert not scanner.in_multiline_text and scanner.n_inner == 1


@pytest.mark.parametrize(
    ("source", "slashes"),
    [("a;\n", True), ("// x\n", True), ("if x {", True), ("x = a // b\n# c", False), ("", False)],
)
def test_the_family_of_comments_is_read_from_the_source(source: str, slashes: bool) -> None:
    assert uses_slash_comments(source) is slashes

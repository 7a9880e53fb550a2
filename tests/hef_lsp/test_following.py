"""Which place comes next after a suggestion was accepted."""

from __future__ import annotations

import pytest
from engine_rig import CURSOR, request_at

from hef_lsp.following import following_request


def following(marked: str, text: str) -> str | None:
    """The document and its cursor after `text` was accepted at the mark and the line ended."""
    found = following_request(request_at(marked), text)
    return None if found is None else found.prefix + CURSOR + found.suffix


@pytest.mark.parametrize(
    ("marked", "text", "expected"),
    [
        ("x = ║\ny = 1", "f(x)", "x = f(x)\n║\ny = 1"),
        ("def f():\n    x = ║\n", "1", "def f():\n    x = 1\n    ║\n"),
        ("def f():\n    if ║\n", "x:", "def f():\n    if x:\n        ║\n"),
        ("def f():\n\tx = 1\n\tif ║\n", "x:", "def f():\n\tx = 1\n\tif x:\n\t\t║\n"),
        ("a:\n  b\nclass ║", "C:", "a:\n  b\nclass C:\n  ║"),
        ("x = ║  \n", "1", "x = 1\n║  \n"),
        ("for x in y:\n    ║", "f(x)\n    g(x)", "for x in y:\n    f(x)\n    g(x)\n    ║"),
        ("    x = call(║\n", "", "    x = call(\n        ║\n"),
        ("def f():\n    return ║\n", "1", "def f():\n    return 1\n║\n"),
        ("def f():\n    return g(║\n", "a,", "def f():\n    return g(a,\n    ║\n"),
        ("def f():\n\tpass║\n", "", "def f():\n\tpass\n║\n"),
        ("def f():\n    passed║\n", "", "def f():\n    passed\n    ║\n"),
        ("call(║)\n", "x", None),  # the line goes on
        ("x = 1\n║\n", "   ", None),
        ("    x = 1║\n", "", "    x = 1\n    ║\n"),  # nothing accepted, the line ended
    ],
)
def test_the_line_that_follows(marked: str, text: str, expected: str | None) -> None:
    assert following(marked, text) == expected


def test_other_languages_end_no_block_by_a_statement() -> None:
    found = following_request(request_at("{\n  return x║\n}\n", path="a.js", language_id="javascript"), "")
    assert found is not None and found.prefix.endswith("return x\n  ")

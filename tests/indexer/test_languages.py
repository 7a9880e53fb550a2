"""The name of a file gives its language and its comment mark."""

import pytest

from indexer.languages import language_of, line_comment


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "python"),
        ("a/B.PY", "python"),
        ("x.d.ts", "typescript"),
        ("App.tsx", "tsx"),
        ("inc/vector.h", "cpp"),
        ("deep/Makefile", "make"),
        ("CMakeLists.txt", "cmake"),
        ("notes.txt", None),
        ("README", None),
        (".py", None),
        ("folder.py/data", None),
        ("", None),
        ("a\nb.rs", "rust"),
    ],
)
def test_the_name_decides(path: str, language: str | None) -> None:
    assert language_of(path) == language


@pytest.mark.parametrize(
    ("language", "mark"),
    [("python", "#"), ("rust", "//"), ("sql", "--"), (None, "#"), ("no such language", "#")],
)
def test_line_comment(language: str | None, mark: str) -> None:
    assert line_comment(language) == mark

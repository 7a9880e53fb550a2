"""The countable parts of the house style: sizes of files and functions, and opening docstrings.

Run as a script it prints each breach and leaves with 1; the tests call `breaches`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("hef_lsp", "indexer", "model")
MOST_LINES_IN_A_FILE = 350
MOST_LINES_IN_A_FUNCTION = 60
SHORT_FUNCTION = 30
SHARE_OF_SHORT_FUNCTIONS = 0.9
ROOT = Path(__file__).resolve().parents[2]


def source_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[tuple[str, int, int]]:
    """Name, first line and length of every function, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def breaches_of(source: str, name: str) -> Iterator[str]:
    """What `source` breaks of the rules that hold for each file."""
    tree = ast.parse(source)
    n_lines = source.count("\n")
    if n_lines > MOST_LINES_IN_A_FILE:
        yield f"{name}: {n_lines} lines, at most {MOST_LINES_IN_A_FILE}: a second subject wants its own file"
    if not ast.get_docstring(tree):
        yield f"{name}: begins without a docstring that says what it owns"
    for function, line, length in functions(tree):
        if length > MOST_LINES_IN_A_FUNCTION:
            yield f"{name}:{line} {function}: {length} lines, at most {MOST_LINES_IN_A_FUNCTION}"


def share_of_short_functions(sources: list[str]) -> float:
    lengths = [length for source in sources for _, _, length in functions(ast.parse(source))]
    return sum(length < SHORT_FUNCTION for length in lengths) / max(1, len(lengths))


def breaches() -> list[str]:
    """Every breach in the packages, one line each."""
    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in source_files()}
    found = [breach for name, source in sources.items() for breach in breaches_of(source, name)]
    share = share_of_short_functions(list(sources.values()))
    if share < SHARE_OF_SHORT_FUNCTIONS:
        found.append(f"only {share:.0%} of functions have fewer than {SHORT_FUNCTION} lines, 90% should")
    return found


if __name__ == "__main__":
    lines = breaches()
    print("\n".join(lines) or f"sizes: {len(source_files())} files keep the house style")
    sys.exit(bool(lines))

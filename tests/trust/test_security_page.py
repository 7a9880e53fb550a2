"""SECURITY.md promises nothing without a test: each row links one, and each link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
LINKS = sorted(set(re.findall(r"\]\(([^)#]+)\)", PAGE)))
ROWS = re.findall(r"^\| (?!promise|-)(.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("link", LINKS)
def test_what_is_linked_exists(link: str) -> None:
    path = ROOT / link
    assert path.is_file()
    if path.suffix == ".py":
        assert re.search(r"^(?:async )?def test_", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_promise_has_its_test() -> None:
    assert len(ROWS) >= 10
    assert all("(tests/" in tests for _, tests in ROWS), ROWS

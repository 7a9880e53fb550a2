"""Golden files: what the filters make of a raw generation at a cursor.

`tests/golden/postprocess/FILTER/CASE.txt` holds the document with the cursor marked ``║``, the raw
generation and what is expected, each under a heading. Headings may have a flag:

- ``--- document (rust) ---`` names the language; Python if none is named
- ``--- generated (line) ---`` asks for one line instead of a block
- ``--- expected (kept) ---`` says that the filter must leave this case alone

In every other case the pipeline without the folder's filter must give another result: so each file
proves that its filter is needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from hef_lsp.postprocess import FILTERS, Draft, postprocess

GOLDEN = Path(__file__).parents[1] / "golden" / "postprocess"
CURSOR = "║"
NOTHING = "(nothing)"
HEADING = re.compile(r"^--- (document|generated|expected)(?: \((\w+)\))? ---\n", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    draft: Draft
    expected: str | None
    kept: bool


def read_case(path: Path) -> Case:
    """The sections' texts; the line end before the next heading belongs to the heading."""
    found = HEADING.split(path.read_text(encoding="utf-8"))[1:]
    sections = {name: text.removesuffix("\n") for name, _, text in zip(*[iter(found)] * 3, strict=True)}
    flags = {name: flag for name, flag, _ in zip(*[iter(found)] * 3, strict=True)}
    prefix, _, suffix = sections["document"].partition(CURSOR)
    language = flags["document"] or "python"
    draft = Draft(sections["generated"], prefix, suffix, flags["generated"] != "line", language)
    expected = None if sections["expected"] == NOTHING else sections["expected"]
    return Case(draft, expected, flags["expected"] == "kept")


PATHS = sorted(GOLDEN.rglob("*.txt"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path) -> None:
    case = read_case(path)
    assert postprocess(case.draft) == case.expected
    if not case.kept:
        others = tuple((name, apply) for name, apply in FILTERS if name != path.parent.name)
        assert postprocess(case.draft, others) != case.expected, f"{path.parent.name} is not needed here"


def test_every_filter_has_golden_files_and_every_folder_a_filter() -> None:
    names = {name for name, _ in FILTERS}
    assert {path.parent.name for path in PATHS} == names

"""Commands, files and code as docs/editors.md and the Neovim plugin's help file tell them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from editor_paths import ROOT

DOCUMENT = ROOT / "docs/editors.md"
FENCE = "```"
NAMED = re.compile(r"`~/([^`]+)`:$")
"""The end of the line before a block that is the content of a file, unless it is for a shell."""


@dataclass(frozen=True)
class Block:
    """Lines to type into a shell, or the content of `file` (a path in the home directory)."""

    language: str
    text: str
    file: str | None


def chapter(title: str) -> list[Block]:
    """The blocks below the heading `title`, up to the next heading. A chapter without any is an error."""
    lines = iter(_lines_below(title))
    blocks: list[Block] = []
    before = ""
    for line in lines:
        if line.startswith(FENCE):
            text = "".join(f"{inner}\n" for inner in iter(lambda: next(lines), FENCE))
            language = line.removeprefix(FENCE)
            named = NAMED.search(before) if language != "sh" else None
            blocks.append(Block(language, text, named[1] if named else None))
        before = line
    assert blocks, f"{DOCUMENT.name} has no commands below {title!r}"
    return blocks


def _lines_below(title: str) -> list[str]:
    lines = DOCUMENT.read_text().splitlines()
    start = lines.index(f"### {title}") + 1
    ends = (at for at in range(start, len(lines)) if re.match("#{1,3} ", lines[at]))
    return lines[start : next(ends, len(lines))]


def write(blocks: list[Block], home: Path) -> None:
    """Writes the files among `blocks` into `home`."""
    for block in blocks:
        if block.file is not None:
            target = home / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)


def commands(blocks: list[Block]) -> str:
    return "".join(block.text for block in blocks if block.language == "sh")


def help_block(after: str) -> str:
    """The first block of code in the Neovim plugin's help file behind the words `after`."""
    text = (ROOT / "editors/neovim/doc/hef-lsp.txt").read_text()
    assert text.count(after) == 1, f"{after!r} must stand once in the help file"
    block = re.search(r" >(?:lua|vim|sh)?\n(.*?)\n<", text.split(after)[1], re.DOTALL)
    assert block, f"no code behind {after!r}"
    return block[1]

"""Stops a suggestion that repeats the lines just above it, or that goes round in a loop.

Small models fall into both. Thresholds for a loop inside a line are those of tabby-agent's
`removeLineEndsWithRepetition`: six times three characters, or four times ten.
"""

from __future__ import annotations

import re

from hef_lsp.postprocess.draft import Draft
from hef_lsp.text_lines import has_word

_LOOPS_IN_A_LINE = (re.compile(r"(.{3,60}?)\1{5,}"), re.compile(r"(.{10,200}?)\1{3,}"))
_LONGEST_LINE_SEARCHED = 500
LONGEST_PERIOD = 12


def stop_repetition(draft: Draft) -> Draft | None:
    """Up to the first round of a loop; None where the suggestion only repeats what stands above."""
    if _repeats_above(draft):
        return None
    return _without_loop_of_lines(_without_loop_in_line(draft))


def _repeats_above(draft: Draft) -> bool:
    """Whether the suggestion, from its first line on, is a copy of the lines before the cursor."""
    above = [line.rstrip() for line in draft.prefix.split("\n")[:-1] if line.strip()]
    here = [line.rstrip() for line in draft.lines if line.strip()]
    if not here or not has_word("".join(here)) or here[0] == draft.line_prefix.rstrip():
        return False
    if draft.line_prefix.strip() and len(here) < 2:
        return False  # the user began this line as the one above: a second such line may be meant
    return above[-len(here) :] == here


def _without_loop_in_line(draft: Draft) -> Draft:
    lines = draft.text.split("\n")
    for number, line in enumerate(lines):
        for loop in _LOOPS_IN_A_LINE:
            found = loop.search(line[:_LONGEST_LINE_SEARCHED])
            if found and any(map(str.isalpha, found.group(1))):  # rows of numbers or rulers may be meant
                return draft.with_text("\n".join([*lines[:number], line[: found.end(1)]]))
    return draft


def _without_loop_of_lines(draft: Draft) -> Draft:
    """Cut after the first round where a run of lines comes twice (a single line: three times)."""
    lines = [line.rstrip() for line in draft.lines]
    for start in range(len(lines)):
        for period in range(1, min(LONGEST_PERIOD, (len(lines) - start) // 2) + 1):
            rounds = 3 if period == 1 else 2
            run = lines[start : start + period]
            if has_word("".join(run)) and lines[start : start + rounds * period] == run * rounds:
                return draft.first_lines(start + period)
    return draft

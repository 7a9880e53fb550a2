"""Where a suggestion ends: one line, or one block by indentation and brackets.

Pure text rules, fed piece by piece while the generator decodes; no tokens, no clock. What
`StopTracker` hands out is certain: it is never taken back.

The line rule gives exactly one line of code. Blank text at the front is let through (the
cursor's line may be complete already), then everything up to the end of the first line that
holds something.

The block rule judges whole lines.

- On a blank line the block is what is indented at least as far as the cursor; after code it
  is the rest of the line and what is indented deeper.
- A line indented less ends the block and is left out, unless it closes it: a closing bracket,
  or `end` and its like. Such a line is the last one.
- While a bracket opened in the suggestion or on the cursor's line is open, indentation does
  not matter; the bracket's own closing line, back at the cursor line's indentation, is the last.
- A bracket opened before the cursor's line may be closed, and the block ends with the line
  that does so. Closing one that was never opened ends the text before it. That the document
  may have the same closer after the cursor is for post-processing to see.
- Two blank lines end it. Cut short by limit or deadline it keeps whole lines only, the first
  line excepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from model.brackets import CLOSERS, BracketScanner, uses_slash_comments
from model.protocols import StopMode, StopReason, StopRule

TAB_WIDTH = 4
MOST_LEADING_NEWLINES = 2
MOST_LEADING_BLANK_LINES = 3
PREFIX_LINES_READ = 200
"""Lines of the prefix scanned for open brackets; a bracket opened farther up counts as unknown."""

_BLANK = " \t\r\n\f\v"
_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")  # a lone \r at the end may be half of \r\n
_END_WORDS = ("end", "endif", "endfunction", "endwhile", "endfor", "fi", "done", "esac")
_END_LINE = re.compile(rf"(?:{'|'.join(_END_WORDS)})[;,)]*")
_LEADING_CLOSERS = re.compile(r"\s*[)\]}][)\]};,]*")


@dataclass(frozen=True)
class Stop:
    """The suggestion is complete: `text` is its last piece."""

    text: str
    reason: StopReason


class StopTracker:
    """Feed it decoded text; it answers with certain text, or with `Stop` once the rule is met."""

    def __init__(self, rule: StopRule) -> None:
        self._scope = _Line() if rule.mode is StopMode.LINE else _Block(rule.prefix)

    def feed(self, text: str) -> str | Stop:
        """The text that became certain through `text`; nothing may be fed after a `Stop`."""
        return self._scope.feed(text)

    def finish(self, reason: StopReason) -> str:
        """The last piece, where something else than the rule ended the decoding."""
        return self._scope.finish(reason)


class _Line:
    """The line rule; `_held` is text that is not certain yet."""

    def __init__(self) -> None:
        self._held = ""
        self._said = False

    def feed(self, text: str) -> str | Stop:
        self._held += text
        code = self._held.lstrip(_BLANK) if not self._said else self._held
        lead = self._held[: len(self._held) - len(code)]
        if lead.count("\n") > MOST_LEADING_NEWLINES:
            return Stop("", StopReason.LINE)
        if not self._said and not code:
            return ""
        self._said = True
        end = _LINE_END.search(code)
        if end is not None:
            return Stop(lead + code[: end.start()], StopReason.LINE)
        certain = code.removesuffix("\r")
        self._held = code[len(certain) :]
        return lead + certain

    def finish(self, reason: StopReason) -> str:
        return ""


class _Block:
    """The block rule.

    `_floor` is the least indentation that belongs to the block; None until its first line
    shows it. `_line` is the line being received, `_between` the line ends and blank lines
    since the last line handed out.
    """

    def __init__(self, prefix: str) -> None:
        *above, head = re.split(r"\r\n|\n|\r", prefix)[-PREFIX_LINES_READ:]
        self._brackets = BracketScanner(uses_slash_comments("\n".join([*above, head])))
        for line in above:
            self._brackets.feed(line, outer=True)
        self._brackets.feed(head)
        self._head = head
        self._header_indent = indent_width(head) if head.strip() else None
        self._floor = self._first_floor(head)
        self._line = self._between = ""
        self._n_blank = 0
        self._first, self._said, self._dashes = True, False, False

    def feed(self, text: str) -> str | Stop:
        self._line += text
        certain = ""
        while (end := _LINE_END.search(self._line)) is not None:
            line, line_end = self._line[: end.start()], end.group()
            self._line = self._line[end.end() :]
            answer = self._whole_line(line)
            if isinstance(answer, Stop):
                return Stop(certain + answer.text, answer.reason)
            certain += answer
            self._between += line_end
        if self._falls_back_already():
            return Stop(certain, StopReason.BLOCK)
        return certain

    def finish(self, reason: StopReason) -> str:
        if reason is not StopReason.END_OF_TEXT and self._said:
            return ""
        answer = self._whole_line(self._line.removesuffix("\r"))
        return answer.text if isinstance(answer, Stop) else answer

    @staticmethod
    def _first_floor(head: str) -> int | None:
        if not head:
            return None
        return indent_width(head) + 1 if head.strip() else indent_width(head)

    def _whole_line(self, line: str) -> str | Stop:
        """Judges a complete line; what it answers includes the line ends before it."""
        if self._first:
            self._first = False
            if line.strip():
                return self._first_line(line)
            self._between = line
            return ""
        if not line.strip():
            return self._blank_line(line)
        self._n_blank = 0
        indent = indent_width(line)
        if self._brackets.in_multiline_text or self._brackets.n_inner:
            return self._bracketed_line(line, indent)
        if self._belongs(line, indent):
            return self._taken(line)
        return self._closing_line(line)

    def _first_line(self, line: str) -> str | Stop:
        if self._floor is None:
            self._floor = indent_width(line)
        return self._taken(line)

    def _blank_line(self, line: str) -> str | Stop:
        self._n_blank += 1
        self._between += line
        most = 1 if self._said else MOST_LEADING_BLANK_LINES
        if self._n_blank > most and not self._brackets.in_multiline_text:
            return Stop("", StopReason.BLOCK)
        return ""

    def _bracketed_line(self, line: str, indent: int) -> str | Stop:
        begins_with_closer = line.lstrip()[0] in CLOSERS and not self._brackets.in_multiline_text
        taken = self._taken(line)
        if isinstance(taken, Stop):
            return taken
        closes = begins_with_closer and not self._brackets.n_inner
        if closes and self._header_indent is not None and indent <= self._header_indent:
            return Stop(taken, StopReason.BLOCK)
        return taken

    def _belongs(self, line: str, indent: int) -> bool:
        if self._floor is None:
            self._floor = indent
        if self._dashes and indent == self._header_indent and line.lstrip().startswith("-"):
            return True
        if indent >= self._floor:
            return True
        return not self._said and indent == self._header_indent and self._goes_on_level(line)

    def _goes_on_level(self, line: str) -> bool:
        """Whether the block's first line may stand at its header's own indentation.

        A brace on its own line opens the block; YAML writes list items level with their key;
        else the cursor's line was a whole statement, and its siblings are the block.
        """
        first = line.lstrip()
        if first[0] in CLOSERS or _END_LINE.fullmatch(first.rstrip()):
            return False
        header = self._head.rstrip()
        if header.endswith(":"):
            self._dashes = first.startswith("-")
            return self._dashes
        if not first.startswith("{"):
            self._floor = self._header_indent
        return True

    def _taken(self, line: str) -> str | Stop:
        """Accepts a line, cut where it closes what was never opened."""
        marks = self._brackets.feed(line)
        if marks.stray is not None:
            kept = line[: marks.stray].rstrip()
            return Stop(self._handed_out(kept) if kept.strip() else "", StopReason.BLOCK)
        text = self._handed_out(line)
        if marks.closed_outer and not self._brackets.n_inner and not line.rstrip().endswith(":"):
            return Stop(text, StopReason.BLOCK)
        return text

    def _closing_line(self, line: str) -> Stop:
        """A line before the block's floor: left out, unless it closes the block."""
        if _END_LINE.fullmatch(line.strip()):
            return Stop(self._handed_out(line), StopReason.BLOCK)
        closers = _LEADING_CLOSERS.match(line)
        if closers is None:
            return Stop("", StopReason.BLOCK)
        marks = self._brackets.feed(line)
        kept = line if marks.stray is None else line[: marks.stray].rstrip()
        if self._brackets.n_inner:  # "} else {" begins another block
            kept = closers.group()
        return Stop(self._handed_out(kept) if kept.strip() else "", StopReason.BLOCK)

    def _handed_out(self, line: str) -> str:
        text = self._between + line
        self._between = ""
        self._said = True
        return text

    def _falls_back_already(self) -> bool:
        """Whether the line being received is out by its indentation, whatever follows in it."""
        start = self._line.lstrip(" \t")
        if self._first or not self._said or not start or start[0] in _BLANK or self._floor is None:
            return False
        if self._brackets.in_multiline_text or self._brackets.n_inner:
            return False
        may_close = start[0] in CLOSERS or any(
            word.startswith(start) or start.startswith(word) for word in _END_WORDS
        )
        may_be_item = self._dashes and start[0] == "-"
        return indent_width(self._line) < self._floor and not may_close and not may_be_item


def indent_width(line: str) -> int:
    """Columns of the white space that `line` begins with."""
    blank = line[: len(line) - len(line.lstrip(" \t"))]
    return len(blank.expandtabs(TAB_WIDTH))

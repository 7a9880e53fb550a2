"""What is asked for at one cursor, and the pure policy on it: whether to answer, and how much.

Owns `CompletionRequest`, the gate `should_complete`, `multiline_wanted`, and the text before and after
the cursor as the models read it. Does not know the protocol, the index or the models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hef_lsp.text_lines import first_line, has_word, indent_width, last_line, opens_block, unix_lines
from hef_lsp.told import Told, told_of
from indexer.languages import language_of
from indexer.never_source import is_secret_file

if TYPE_CHECKING:
    from hef_lsp.documents import DocumentSnapshot

LONGEST_LINE = 5000
"""Characters; a longer line is minified or data, and one suggestion in it costs too much to draw."""

ABOVE_CHARS = 1600

READ_ONLY_SCHEMES = frozenset(
    {"git", "gitfs", "gitlens", "review", "output", "debug", "search-editor", "jar", "jdt", "zipfile", "http"}
)
EDITABLE_VSCODE_SCHEMES = frozenset(
    {"vscode-remote", "vscode-vfs", "vscode-notebook-cell", "vscode-userdata"}
)
_BINARY_WINDOW = 4096
_MOST_STRANGE = 0.1
_CLOSABLE_REST = re.compile(r"[\s)\]}>\"'`;,:]*(?:\*/|/>|\{)?\s*")


@dataclass(frozen=True)
class SelectedCompletion:
    """The entry selected in the editor's list: it would put `text` in place of ``[start, end)``."""

    start_offset: int
    end_offset: int
    text: str


@dataclass(frozen=True)
class CompletionRequest:
    """One cursor in one version of a document.

    `path` is relative to the workspace folder `root`, or the file's name where there is none.
    `after_deletion`: the change before this request only took text away. `received_s`: the
    `time.monotonic` instant at which the request came in, from which its deadline counts. `ahead`: nobody
    asked yet; the document is as it would be then. `at_rest`: nobody asked yet at this cursor. `anew`: one
    of these two once more, for memories that were missed have come.
    """

    document: DocumentSnapshot
    path: str
    root: str | None
    offset: int
    invoked: bool = False
    n_alternatives: int = 1
    selected: SelectedCompletion | None = None
    after_deletion: bool = False
    received_s: float | None = None
    ahead: bool = False
    at_rest: bool = False
    anew: bool = False

    @property
    def unasked(self) -> bool:
        """Whether it is answered before anybody asked."""
        return self.ahead or self.at_rest

    @cached_property
    def prefix(self) -> str:
        r"""The text before the cursor, lines ending in ``\n``, as if the selected entry were accepted."""
        if self.selected is None:
            return unix_lines(self.document.text[: self.offset])
        return unix_lines(self.document.text[: self.selected.start_offset] + self.selected.text)

    @cached_property
    def suffix(self) -> str:
        r"""The text after the cursor (or after the selected entry's range), lines ending in ``\n``."""
        end = self.offset if self.selected is None else self.selected.end_offset
        return unix_lines(self.document.text[end:])

    @cached_property
    def told(self) -> Told:
        """Prefix and suffix as models and index may see them. Costs milliseconds: in the lane only."""
        return told_of(self.prefix, self.suffix)

    @property
    def language(self) -> str | None:
        """By the path; failing that, what the editor says."""
        return language_of(self.path) or self.document.language_id or None

    @property
    def line_prefix(self) -> str:
        return last_line(self.prefix)

    @property
    def line_suffix(self) -> str:
        return first_line(self.suffix)

    @property
    def line(self) -> int:
        """The cursor's line in the document, from 0."""
        return self.document.line_at(self.offset)


def should_complete(request: CompletionRequest, enabled: bool = True) -> str | None:
    """None if a suggestion is wanted here, else the reason why not, in words for the log.

    An invoked request is refused only where no answer could make sense.
    """
    reason = _never(request, enabled)
    if reason is None and not request.invoked:
        reason = _not_unasked(request)
    return reason


def _never(request: CompletionRequest, enabled: bool) -> str | None:
    if not enabled:
        return "completion is disabled in the settings"
    scheme = request.document.uri.partition(":")[0].lower()
    if scheme in READ_ONLY_SCHEMES or (
        scheme.startswith("vscode-") and scheme not in EDITABLE_VSCODE_SCHEMES
    ):
        return f"documents of the scheme {scheme!r} are read-only"
    if is_secret_file(request.path):
        return "the document's name says that it holds secrets"
    if len(request.line_prefix) + len(request.line_suffix) > LONGEST_LINE:
        return f"the line is longer than {LONGEST_LINE} characters"
    if looks_binary(request.prefix[-_BINARY_WINDOW:] + request.suffix[:_BINARY_WINDOW]):
        return "the document looks binary"
    selected = request.selected
    if selected is not None and not selected.start_offset <= request.offset <= selected.end_offset:
        return "the selected entry does not hold the cursor"
    return None


def _not_unasked(request: CompletionRequest) -> str | None:
    before, after = request.line_prefix, request.line_suffix
    if request.after_deletion:
        return "text was just deleted"
    if not request.prefix.strip() and not request.suffix.strip():
        return "the document is empty"
    if has_word(before[-1:]) and has_word(after[:1]):
        return "the cursor is inside a word"
    if _CLOSABLE_REST.fullmatch(after) is None:
        return "code follows the cursor on its line"
    return None


def looks_binary(sample: str) -> bool:
    """Whether `sample` holds a NUL, or more control and replacement characters than text would."""
    if "\0" in sample:
        return True
    n_strange = sum(c == "\ufffd" or (c < " " and c not in "\t\n\r\f\v\x1b") for c in sample)
    return n_strange > _MOST_STRANGE * max(1, len(sample))


def multiline_wanted(request: CompletionRequest) -> bool:
    """Whether a whole block is wanted: asked for, or one just begins at the cursor; else the line."""
    if request.invoked:
        return True
    if request.line_suffix.strip(" \t)]};,"):
        return False
    opener = last_line(request.prefix.rstrip())
    return opens_block(opener, request.language) and not _has_body(opener, request.suffix)


def _has_body(opener: str, suffix: str) -> bool:
    """Whether the first line with text after the cursor is already deeper than `opener`."""
    below = next((line for line in suffix.split("\n")[1:] if line.strip()), "")
    return bool(below) and indent_width(below) > indent_width(opener)


def text_above(request: CompletionRequest) -> str:
    """The lines just above the cursor's, which stay the same while one types in it."""
    return request.prefix.removesuffix(request.line_prefix)[-ABOVE_CHARS:]

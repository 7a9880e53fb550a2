"""What of an open document the generator reads before anybody asks.

Owns the choice of the text: it begins as a prompt does, with the path, and its secrets are covered.
"""

from __future__ import annotations

from hef_lsp.request import CompletionRequest
from hef_lsp.told import PREFIX_CHARS
from indexer.languages import line_comment
from model.multiples import filled_up
from model.prompt import MOST_CHARS_PER_TOKEN, path_line
from model.protocols import CancelSignal, Generator, Interrupted, OpenText


def read_piece(generator: Generator, request: CompletionRequest, n_tokens: int, cancel: CancelSignal) -> bool:
    """Whether more is left to read, as it is where `cancel` came first."""
    try:
        return generator.read_on(open_text_of(request, n_tokens), n_tokens, cancel)
    except Interrupted:
        return True


def open_text_of(request: CompletionRequest, n_tokens: int) -> OpenText:
    """The text around the cursor that `n_tokens` can hold at most.

    Of a longer file the beginning is left out in steps, so that it begins at the same place for most cursors.
    """
    told, most = request.told, min(n_tokens * MOST_CHARS_PER_TOKEN, PREFIX_CHARS)
    start = filled_up(max(0, len(told.prefix) - most), max(1, most // 8))
    start = told.prefix.find("\n", start - 1) + 1 if start else 0
    head = path_line(line_comment(request.language), request.path)
    return OpenText(request.document.uri, head + told.prefix[start:], told.suffix[:most], head)

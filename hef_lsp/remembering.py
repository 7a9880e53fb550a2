"""What a request is told by the exact memory: how the words go on elsewhere, and where one stands as here.

Owns the memories of the documents that were asked for last, from request to request. Called in the inference
lane only, but for `forget`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hef_lsp.request import CompletionRequest
from indexer.likest_lines import FileLine, LineCounter, likest_lines
from indexer.open_file_memory import OpenFileMemory
from indexer.suffix_index import SuffixSnapshot
from indexer.suffix_session import SuffixSession
from model.protocols import Tokenizer

FILES_REMEMBERED = 8
"""Open files whose tokens are kept."""


@dataclass(frozen=True)
class Remembered:
    """One request's share; `above` are the tokens of the lines above the cursor's."""

    session: SuffixSession
    above: Sequence[int]
    counter: LineCounter

    def lines_alike(self) -> tuple[FileLine, ...]:
        """The lines of other files that followed what is like the lines above, the likest first."""
        return likest_lines(self.session, self.above, self.counter)


class Remembering:
    """The open files' words up to the cursor, and what the workspace says after them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._counter = LineCounter(tokenizer.decode)
        self._open_files: dict[str, OpenFileMemory] = {}

    def at(self, request: CompletionRequest, workspace: SuffixSnapshot) -> Remembered:
        """The memory for a request; of its own file only what stands before the cursor counts."""
        uri = request.document.uri
        own = self._open_files.pop(uri, None) or OpenFileMemory(self._tokenizer.encode)
        self._open_files[uri] = own
        if len(self._open_files) > FILES_REMEMBERED:
            del self._open_files[next(iter(self._open_files))]
        session = own.session(workspace, request.path, request.told.prefix)
        return Remembered(session, own.above, self._counter)

    def glance(self, request: CompletionRequest, workspace: SuffixSnapshot) -> Remembered:
        """For a place where nobody is: nothing of it is kept, and nobody will ask how the memory has done."""
        own = OpenFileMemory(self._tokenizer.encode)
        session = own.session(workspace, request.path, request.told.prefix, n_recorded=0)
        return Remembered(session, own.above, self._counter)

    def forget(self, uri: str) -> None:
        """Drops what is kept of a closed document. Any thread."""
        self._open_files.pop(uri, None)

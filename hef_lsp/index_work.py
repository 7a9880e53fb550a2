"""What a workspace folder supplies to the thread that writes its index. Owns no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexer.source_files import FileChange
from model.protocols import Embedder, Fuser

if TYPE_CHECKING:
    from indexer.index import Index
    from model.bundle import ModelBundle


@dataclass(frozen=True)
class IndexParts:
    """What an index takes of a bundle; holding the bundle would hold the generator.

    With `fuse_missed_only` only chunks that a request missed get a memory.
    """

    embedder: Embedder
    fuser: Fuser | None
    count_tokens: Callable[[Sequence[str]], list[int]]
    encode: Callable[[Sequence[str]], list[list[int]]]
    tokenizer_id: str
    fuse_missed_only: bool = False

    @staticmethod
    def of(bundle: ModelBundle, fuse_missed_only: bool = False) -> IndexParts:
        return IndexParts(
            bundle.embedder,
            bundle.fuser,
            bundle.count_tokens,
            bundle.encode,
            bundle.tokenizer_id,
            fuse_missed_only,
        )


class FusingStalled(Exception):
    """Vectors stay unfused although nothing hindered it."""


@dataclass(frozen=True)
class Work:
    """What the folder supplies; everything is called in the writer thread."""

    open_index: Callable[[bool], Index]
    """Opens the index; True = drop the old one first."""
    prepare: Callable[[list[FileChange]], tuple[list[FileChange], bool]]
    """Coalesced changes to what the updater is given, and whether a scan must follow."""
    first: Callable[[], Sequence[str]]
    """Paths of open documents: their neighbourhood comes first, and a scan may have put the disk's text
    in place of theirs."""
    announce: Callable[[], None]
    """The state or the progress changed."""
    scans: bool = True
    """Whether the folder on disk is read at all."""

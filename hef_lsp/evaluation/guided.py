"""Searches for arms: guided by an answer (RepoCoder, Zhang et al. 2023), of chunks alone, without texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hef_lsp.context import Retrieves
from indexer.retriever import Hit, Query

if TYPE_CHECKING:
    from indexer.index import IndexView


@dataclass
class GuidedRetriever:
    """Searches for the request's words and for those of `answer`, what the round before said."""

    retriever: Retrieves
    answer: str = ""

    def retrieve(self, view: IndexView, query: Query) -> list[Hit]:
        return self.retriever.retrieve(view, replace(query, text=query.text + self.answer))


@dataclass
class LeavesOnly:
    """Finds chunks alone, not the files and directories above them."""

    retriever: Retrieves

    def retrieve(self, view: IndexView, query: Query) -> list[Hit]:
        return self.retriever.retrieve(view, replace(query, ancestors=False))


@dataclass
class WithoutTexts:
    """Finds nodes and keeps their texts to itself: memories of strangers stand in for them, and nothing else
    may tell what was found."""

    retriever: Retrieves

    def retrieve(self, view: IndexView, query: Query) -> list[Hit]:
        return [replace(hit, text="") for hit in self.retriever.retrieve(view, query)]

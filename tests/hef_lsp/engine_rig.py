"""What the tests of request, store and engine share: requests at a mark, and an index made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from fakes import FakeBundle, FakeGenerator, fake_bundle

from hef_lsp.documents import DocumentSnapshot
from hef_lsp.engine import CompletionEngine
from hef_lsp.request import CompletionRequest, SelectedCompletion
from hef_lsp.settings import CompletionSettings, ContextMode, ContextSettings, Settings
from indexer.hierarchy import Node, NodeKind
from indexer.retriever import Hit, Query
from indexer.suffix_index import SuffixSnapshot
from model.protocols import FloatArray

CURSOR = "║"
URI = "file:///work/app.py"


def request_at(
    marked: str,
    *,
    uri: str = URI,
    path: str = "app.py",
    language_id: str = "python",
    invoked: bool = False,
    n_alternatives: int = 1,
    selected: tuple[str, str] | None = None,
    after_deletion: bool = False,
    received_s: float | None = None,
) -> CompletionRequest:
    """A request at the cursor mark. `selected` is (what is replaced before the cursor, by what)."""
    prefix, _, suffix = marked.partition(CURSOR)
    document = DocumentSnapshot.of(uri, 1, language_id, prefix + suffix)
    offset = len(prefix)
    entry = None
    if selected is not None:
        entry = SelectedCompletion(offset - len(selected[0]), offset, selected[1])
    return CompletionRequest(
        document=document,
        path=path,
        root="/work",
        offset=offset,
        invoked=invoked,
        n_alternatives=n_alternatives,
        selected=entry,
        after_deletion=after_deletion,
        received_s=received_s,
    )


def chunk_hit(path: str, text: str, number: int = 0, score: float = 0.9) -> Hit:
    node = Node(f"chunk:{path}#{number}", NodeKind.CHUNK, path, f"file:{path}", f"digest of {text}", (), 1, 0)
    return Hit(node, score, score, 0.1, text, 10, 10 + text.count("\n") + 1)


def parent_hit(kind: NodeKind, path: str, digest: str) -> Hit:
    return Hit(
        Node(f"{kind.name.lower()}:{path}", kind, path, None, digest, (), 3, 2), 0.5, 0.5, 0.0, "", 0, 0
    )


@dataclass
class FakeView:
    """Holds the nodes of some hits; `ready` are digests that have a memory, others get one if it `grants`."""

    hits: list[Hit]
    ready: set[str] = field(default_factory=set)
    generation: int = 1
    broken: bool = False
    memory: SuffixSnapshot = field(default_factory=SuffixSnapshot)
    wished: list[str] = field(default_factory=list)
    wished_later: list[str] = field(default_factory=list)
    grants: bool = True

    def __contains__(self, digest: str) -> bool:
        return any(hit.node.digest == digest for hit in self.hits)

    def memories(self, digests: Sequence[str]) -> dict[str, FloatArray]:
        return {d: np.full((4, 8), len(d), dtype=np.float32) for d in digests if d in self.ready}

    def wish_for(self, digests: Sequence[str], for_later: bool = False) -> bool:
        (self.wished_later if for_later else self.wished).extend(digests)
        return self.grants

    @property
    def files(self) -> set[str]:
        return {hit.node.path for hit in self.hits}

    def fused(self, digests: Sequence[str]) -> set[str]:
        return self.ready & set(digests)

    def fuse_all(self) -> None:
        self.ready = {hit.node.digest for hit in self.hits}

    def change(self, hit: Hit, text: str) -> None:
        """The chunk's text was edited and the index followed."""
        place = self.hits.index(hit)
        self.hits[place] = replace(hit, text=text, node=replace(hit.node, digest=f"digest of {text}"))
        self.generation += 1


@dataclass
class FakeRetriever:
    """Every hit of the view, ancestors where asked for; keeps the queries."""

    queries: list[Query] = field(default_factory=list)

    def retrieve(self, view: FakeView, query: Query) -> list[Hit]:
        self.queries.append(query)
        if view.broken:
            raise RuntimeError("the index is broken near def secret(): ...")
        hits = [hit for hit in view.hits if query.ancestors or hit.node.kind is NodeKind.CHUNK]
        return hits[: query.n_hits]


@dataclass
class Rig:
    """An engine over fakes; change `settings` or `view` between requests."""

    bundle: FakeBundle
    view: FakeView | None
    settings: Settings
    retriever: FakeRetriever
    engine: CompletionEngine

    @property
    def generator(self) -> FakeGenerator:
        return self.bundle.generator


def settings_with(
    mode: ContextMode = ContextMode.NONE, completion: CompletionSettings | None = None
) -> Settings:
    return Settings(context=ContextSettings(mode=mode), completion=completion or CompletionSettings())


def rig(
    script: Callable[[str, int], str] | Sequence[str] = ("pass",),
    view: FakeView | None = None,
    mode: ContextMode = ContextMode.NONE,
    *,
    bundle: FakeBundle | None = None,
    completion: CompletionSettings | None = None,
) -> Rig:
    bundle = bundle or fake_bundle(FakeGenerator(script))
    retriever = FakeRetriever()

    def view_of(_: CompletionRequest) -> FakeView | None:
        return made.view

    engine = CompletionEngine(bundle, view_of, lambda: made.settings, retriever=retriever)  # type: ignore[arg-type]
    made = Rig(bundle, view, settings_with(mode, completion), retriever, engine)
    return made

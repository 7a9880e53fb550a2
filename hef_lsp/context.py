"""From the index to what the generator is told of the repository: snippets, pseudo-tokens or nothing.

Owns the choice of the context mode, the query and its excluded region. How long a retrieval goes on to be
told is `hef_lsp.retrieved`. Called in the inference lane only; it does not lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from hef_lsp.cache import ContextSources
from hef_lsp.explanation import ExplainedHit, StageClock, explained
from hef_lsp.projecting import Projecting
from hef_lsp.request import CompletionRequest, text_above
from hef_lsp.retrieved import Found, Key, LastRetrievals, RetrievalPlace, sources_of
from hef_lsp.settings import ContextMode, ContextSettings
from hef_lsp.stage_guard import StageGuard
from indexer.languages import line_comment
from indexer.retriever import Query, near_text, query_text
from indexer.shared import worth_telling
from model.prompt import Snippet
from model.protocols import Embedder, Fuser, Generator, Projector, PseudoTokens
from model.slot_pairs import SlotPairs

if TYPE_CHECKING:
    from hef_lsp.remembering import Remembered
    from indexer.index import IndexView
    from indexer.likest_lines import FileLine
    from indexer.retriever import Hit

LINES_AROUND_CURSOR = 20
CHARS_PER_TOKEN = 4
"""More than code has on average: the region kept out of retrieval must hold the whole prompt."""

QUERY_WINDOW = 8000
"""Characters on either side of the cursor from which the query's lines are taken."""


class Models(Protocol):
    """What the engine needs of a `model.bundle.ModelBundle`."""

    @property
    def generator(self) -> Generator: ...

    @property
    def embedder(self) -> Embedder: ...

    @property
    def fuser(self) -> Fuser | None: ...

    @property
    def projector(self) -> Projector | None: ...

    @property
    def preferred_context(self) -> str:
        """``dense`` or ``text``: what `auto` stands for with these models."""
        ...

    @property
    def fuses_on_demand(self) -> bool:
        """Whether a memory is so long in the making that `auto` makes those alone that were missed."""
        ...


def reads_memories(settings: ContextSettings, models: Models) -> bool:
    """Whether any memory would be read: else fusing is work for nothing."""
    dense = ContextMode.DENSE
    return settings.mode is dense or (settings.mode is ContextMode.AUTO and models.preferred_context == dense)


def on_demand(settings: ContextSettings, models: Models) -> bool:
    """Whether only what a request missed gets a memory, and nothing is told as text until it has one.

    Where nobody asked for dense mode: all memories of a large workspace are hours of a slow core.
    """
    return settings.mode is ContextMode.AUTO and models.fuses_on_demand and reads_memories(settings, models)


def fusing(settings: ContextSettings, models: Models) -> tuple[bool, bool]:
    """Whether memories are made at all, and whether of what was missed only."""
    return reads_memories(settings, models), on_demand(settings, models)


class Retrieves(Protocol):
    """An `indexer.retriever.Retriever`."""

    def retrieve(self, view: IndexView, query: Query) -> list[Hit]: ...


@dataclass(frozen=True)
class Context:
    """What the generator is told, in the mode that was possible, and why it is not another.

    `pseudo_tokens` take some position, or are None; slots stand for the texts `told`, which the generator
    knows word for word by them. `snippets` are the texts of those hits whose places are `as_text`, in dense
    mode chunks that have no memory yet. `sources` are the nodes behind it whose change makes a suggestion
    stale: directories and the repository are not among them, for every edit changes those, the user's own
    typing too.
    """

    mode: ContextMode
    hits: tuple[ExplainedHit, ...] = ()
    snippets: tuple[Snippet, ...] = ()
    as_text: tuple[int, ...] = ()
    pseudo_tokens: PseudoTokens | None = None
    told: tuple[str, ...] = ()
    sources: ContextSources = frozenset()
    notes: tuple[str, ...] = ()

    def with_note(self, note: str) -> Context:
        return replace(self, notes=(note, *self.notes))


NO_CONTEXT = Context(ContextMode.NONE)


@dataclass(frozen=True)
class _Asked:
    """What a context is wanted for, and of what it may be made."""

    request: CompletionRequest
    view: IndexView
    settings: ContextSettings
    clock: StageClock
    remembered: Remembered | None


class ContextBuilder:
    """Builds the context of one request after the other."""

    def __init__(self, models: Models, retriever: Retrieves, guard: StageGuard) -> None:
        self._models = models
        self._retriever = retriever
        self._guard = guard
        self._retrievals = LastRetrievals()
        self._projecting = Projecting(models.generator, guard)

    def build(
        self,
        request: CompletionRequest,
        view: IndexView | None,
        settings: ContextSettings,
        clock: StageClock,
        remembered: Remembered | None,
    ) -> Context:
        """The context for `request`; what fails or is missing makes it poorer and leaves a note.

        `remembered` is asked where a search is made.
        """
        mode = self._mode(settings)
        if mode is ContextMode.NONE or settings.hits == 0:
            return NO_CONTEXT
        if view is None:
            return NO_CONTEXT.with_note("no context: the workspace is not indexed yet")
        asked = _Asked(request, view, settings, clock, remembered)
        if mode is ContextMode.TEXT:
            return self._text(asked)
        dense = self._dense(asked)
        if dense.mode is ContextMode.DENSE:
            return dense
        text = self._text(asked)
        return replace(text, notes=(*dense.notes, *text.notes))

    def untold(
        self, request: CompletionRequest, view: IndexView | None, settings: ContextSettings
    ) -> list[str]:
        """Digests of what was found for this very place and was not told, for it had no memory yet."""
        if view is None:
            return []
        key, place = self._place(request, settings, self._mode(settings))
        found = self._retrievals.of(key, place, view)
        return [] if found is None or found.place != place else found.untold()

    def wish(
        self,
        request: CompletionRequest,
        view: IndexView,
        settings: ContextSettings,
        remembered: Remembered | None,
    ) -> None:
        """Has memories made of what a later `request` would be told."""
        asked = _Asked(request, view, settings, StageClock(), remembered)
        found = self._retrieve(asked, ContextMode.DENSE)
        if found is not None and found.worth_telling:
            digests = [hit.node.digest for hit in found.hits if hit.text]
            fused = self._guard.attempt("memories", lambda: view.fused(digests)) or set()
            view.wish_for([digest for digest in digests if digest not in fused], for_later=True)

    def _mode(self, settings: ContextSettings) -> ContextMode:
        is_auto = settings.mode is ContextMode.AUTO
        return ContextMode(self._models.preferred_context) if is_auto else settings.mode

    def _place(
        self, request: CompletionRequest, settings: ContextSettings, mode: ContextMode
    ) -> tuple[Key, RetrievalPlace]:
        """Under which a retrieval is remembered, and the place it is for."""
        ancestors = mode is ContextMode.DENSE and not on_demand(settings, self._models)
        place = RetrievalPlace(request.root, request.line, text_above(request), settings.hits)
        return (request.document.uri, ancestors), place

    def _text(self, asked: _Asked) -> Context:
        found = self._retrieve(asked, ContextMode.TEXT)
        if found is None:
            return NO_CONTEXT.with_note("no context: the search in the index failed")
        if not found.worth_telling:
            return _untold(ContextMode.TEXT, found)
        hits = found.hits
        return Context(
            ContextMode.TEXT,
            hits=tuple(explained(hit, used=True) for hit in hits),
            snippets=_snippets(asked, hits),
            as_text=tuple(range(len(hits))),
            sources=sources_of(hits),
        )

    def _dense(self, asked: _Asked) -> Context:
        if self._models.fuser is None or self._models.projector is None:
            return NO_CONTEXT.with_note("text instead of dense: these models have no fuser or projector")
        found = self._retrieve(asked, ContextMode.DENSE)
        if found is None:
            return NO_CONTEXT.with_note("not dense: the search in the index failed")
        if not found.worth_telling:
            return _untold(ContextMode.DENSE, found)
        hits = found.hits
        digests = [hit.node.digest for hit in hits]
        with asked.clock.stage("project"):
            memories = self._guard.attempt("memories", lambda: asked.view.memories(digests)) or {}
            missed = [d for d, hit in zip(digests, hits, strict=True) if d not in memories and hit.text]
            left_out = asked.view.wish_for(missed) and on_demand(asked.settings, self._models)
            told = found.told_of(memories.keys())
            ready = [hit for hit in hits if hit.node.digest in told]
            budget = asked.settings.pseudo_tokens
            projected = self._projecting.projected(self._models.projector, ready, memories, budget)
        if hits and not ready and not left_out:
            return NO_CONTEXT.with_note("text instead of dense: none of the retrieved nodes is fused yet")
        if projected is None:
            return NO_CONTEXT.with_note("text instead of dense: the projector failed")
        pseudo_tokens = projected.rows if len(projected.rows) else None
        shown = ready[: projected.n_shown]
        missing = tuple(i for i, hit in enumerate(hits) if hit not in ready and hit.text)
        as_text = () if left_out else missing
        note = f"{len(hits) - len(ready)} of {len(hits)} retrieved nodes are not fused yet: "
        note += "left out" if left_out else f"{len(as_text)} as text"
        return Context(
            ContextMode.DENSE,
            hits=tuple(explained(hit, used=hit in shown) for hit in hits),
            snippets=_snippets(asked, [hits[i] for i in as_text]),
            as_text=as_text,
            pseudo_tokens=pseudo_tokens,
            told=tuple(hit.text for hit in shown) if isinstance(pseudo_tokens, SlotPairs) else (),
            sources=sources_of(hits),
            notes=(note,) if len(ready) < len(hits) else (),
        )

    def _retrieve(self, asked: _Asked, mode: ContextMode) -> Found | None:
        """Hits, best first, ancestors among them where all have memories; None if the search failed.

        An invoked request always searches: who asks wants what is known now, and waits for it. A request
        made ahead takes what the line before it had, and so keeps the KV cache of whoever types on there. One
        made anew tells all memories that are there now.
        """
        request, view, settings = asked.request, asked.view, asked.settings
        key, place = self._place(request, settings, mode)
        kept = None if request.invoked else self._retrievals.of(key, place, view)
        if kept is not None and (kept.place == place or request.ahead):
            if request.anew and not request.ahead:
                kept.memories = None
            return kept
        excluded = excluded_lines(request, settings, reads_suffix=self._models.generator.fim is not None)
        told = request.told
        around = told.prefix[-QUERY_WINDOW:], told.suffix[:QUERY_WINDOW]
        with asked.clock.stage("retrieve"):
            query = Query(
                query_text(*around),
                request.path,
                excluded,
                settings.hits,
                ancestors=key[1],
                near=near_text(*around),
                alike=self._alike(asked),
            )
            hits = self._guard.attempt("retrieval", lambda: self._retriever.retrieve(view, query))
            if hits is None:
                return None
            is_like = worth_telling(query, hits, settings.least_share(mode))
            found = Found(place, hits, worth_telling=is_like)
        if kept is not None:
            found = found.or_as_before(kept, keeps_memories=not on_demand(settings, self._models))
        if not request.ahead:
            self._retrievals.remember(key, found)
        return found

    def _alike(self, asked: _Asked) -> tuple[FileLine, ...]:
        if asked.remembered is None:
            return ()
        return self._guard.attempt("the lines that are alike", asked.remembered.lines_alike) or ()


def _untold(mode: ContextMode, found: Found) -> Context:
    """Nothing; that it was found is said to who asks for an explanation."""
    hits = tuple(explained(hit, used=False) for hit in found.hits)
    return Context(mode, hits, notes=("no context: nothing found is like what stands at the cursor",))


def _snippets(asked: _Asked, hits: Sequence[Hit]) -> tuple[Snippet, ...]:
    comment = line_comment(asked.request.language)
    return tuple(Snippet(hit.node.path, hit.text, comment) for hit in hits)


def excluded_lines(
    request: CompletionRequest, settings: ContextSettings, reads_suffix: bool
) -> tuple[int, int]:
    """Lines ``[a, b)`` that the prompt holds, and at least 20 on either side of the cursor."""
    n_above = request.prefix[-settings.prefix_tokens * CHARS_PER_TOKEN :].count("\n")
    n_below = request.suffix[: settings.suffix_tokens * CHARS_PER_TOKEN].count("\n") if reads_suffix else 0
    above, below = max(n_above, LINES_AROUND_CURSOR), max(n_below, LINES_AROUND_CURSOR)
    return max(0, request.line - above), request.line + below + 1

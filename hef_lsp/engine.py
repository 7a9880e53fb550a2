"""From a request to suggestions: store, context, prompt, generation, post-processing, explanation.

Owns the order of the stages, the deadline and what is kept of an answer. Each stage lives elsewhere:
`cache`, `context`, `model.prompt`, the generator, `postprocess`. `lookup` belongs to the event loop,
`complete` to the inference lane; the rest may be called from any thread.

Nothing here raises because there is nothing to say: a stage that fails is logged once per cause, and
the completion goes on without it or is empty.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hef_lsp.ahead import Ahead
from hef_lsp.cache import Place, SuggestionStore
from hef_lsp.context import ContextBuilder, Models, Retrieves
from hef_lsp.explaining import explained_again, explanation_of
from hef_lsp.explanation import Explanation, ExplanationLog, StageClock
from hef_lsp.open_text import read_piece
from hef_lsp.postprocess import Draft, postprocess
from hef_lsp.prompting import Prompting
from hef_lsp.remembering import Remembered, Remembering
from hef_lsp.request import CompletionRequest, multiline_wanted
from hef_lsp.retrieved import still_current
from hef_lsp.settings import Settings
from hef_lsp.stage_guard import StageGuard
from hef_lsp.told import KnownSecrets
from hef_lsp.wishing_ahead import WishingAhead
from indexer.never_source import is_secret_file
from indexer.retriever import Retriever
from indexer.suffix_index import SuffixSnapshot
from model.cores import one_core_left
from model.prompt import BuiltPrompt
from model.protocols import CancelSignal, Fork, Generation, StopMode, StopReason, StopRule

if TYPE_CHECKING:
    from indexer.index import IndexView

LARGEST_ANSWER = 2
"""At most one part in so many of the context window is kept free for new tokens."""

MOST_TRIES = 2
"""Generations for each suggestion that is wanted: a fork may end in a text that is known."""

STOP_PREFIX_CHARS = 4000
"""Of the text before the cursor, for the generator's stop rule: enough for any sane open bracket."""


@dataclass(frozen=True)
class Suggestion:
    """`text` in place of the document's ``[start, end)``; start == end == offset for plain insertions."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class _Job:
    """One request with all that was decided about it before any work."""

    request: CompletionRequest
    settings: Settings
    view: IndexView | None
    place: Place
    multiline: bool
    n_wanted: int
    max_tokens: int
    deadline_s: float
    alternatives_s: float


class CompletionEngine:
    """The way of a keystroke, read from top to bottom in `complete`."""

    def __init__(
        self,
        models: Models,
        view_of: Callable[[CompletionRequest], IndexView | None],
        settings: Callable[[], Settings],
        retriever: Retrieves | None = None,
    ) -> None:
        self._models = models
        self._view_of = view_of
        self._settings = settings
        self._guard = StageGuard()
        self._store = SuggestionStore()
        self._log = ExplanationLog()
        self._secrets = KnownSecrets()
        self._remembering = Remembering(models.generator.tokenizer)
        self._contexts = ContextBuilder(models, retriever or Retriever(models.embedder), self._guard)
        self._wishing = WishingAhead(models, self._contexts, self._remembering)

    @property
    def last_explanation(self) -> Explanation | None:
        """Of the latest answer to any document."""
        return self._log.last()

    def explanation(self, uri: str) -> Explanation | None:
        """Of the latest answer to the document `uri`."""
        return self._log.last(uri)

    def forget(self, uri: str) -> None:
        """Drop what is kept of a closed document."""
        self._store.forget(uri)
        self._remembering.forget(uri)
        self._wishing.forget(uri)
        self._models.generator.close_text(uri)
        self._log.forget(uri)

    def lookup(self, request: CompletionRequest) -> list[Suggestion] | None:
        """What the store answers, at once and without models; None: it must be generated.

        An empty list is an answer: at this very place there was nothing to say.
        """
        return self._guard.attempt("the suggestion store", lambda: self._lookup(self._job(request)))

    def complete(self, request: CompletionRequest, cancel: CancelSignal) -> list[Suggestion]:
        """Suggestions, best first; empty where there is nothing to say, and after a cancel."""
        return self._guard.attempt("the answer", lambda: self._complete(self._job(request), cancel)) or []

    def prefetch(self, request: CompletionRequest, cancel: CancelSignal) -> Ahead:
        """Fills the store for a place before anybody asks there; `request` is `unasked`.

        What is asked for anew at a cursor at rest is worked out when all memories are there that it lacked.
        """
        with one_core_left():
            ahead = self._guard.attempt("looking ahead", lambda: self._ahead(self._job(request), cancel))
        return ahead or Ahead()

    def read_on(self, request: CompletionRequest, cancel: CancelSignal) -> bool:
        """Reads a piece of an open document before anybody asks, and then has memories made of what its
        places would be told; whether more is left to do."""
        n_tokens = self._settings().context.open_file_tokens
        if not n_tokens or cancel.cancelled or is_secret_file(request.path):
            return False
        with one_core_left():
            read = partial(read_piece, self._models.generator, request, n_tokens, cancel)
            is_more = self._guard.attempt("reading an open file", read) or False
            if is_more or cancel.cancelled:
                return is_more
            wish = partial(self._wishing.wish_on, request, self._view_of(request), self._settings().context)
            return self._guard.attempt("wishing for memories", wish) or False

    def _job(self, request: CompletionRequest) -> _Job:
        settings, view = self._settings(), self._view_of(request)
        completion = settings.completion
        received_s = time.monotonic() if request.received_s is None else request.received_s
        multiline = completion.multiline and multiline_wanted(request)
        max_tokens = completion.max_block_tokens if multiline else completion.max_tokens
        return _Job(
            request=request,
            settings=settings,
            view=view,
            place=Place(
                request.document.uri,
                request.prefix,
                request.suffix,
                self._fingerprint(settings, view is not None),
            ),
            multiline=multiline,
            n_wanted=max(1, min(request.n_alternatives, completion.alternatives)) if request.invoked else 1,
            max_tokens=min(max_tokens, self._models.generator.context_window // LARGEST_ANSWER),
            deadline_s=received_s + completion.deadline_ms / 1000,
            alternatives_s=received_s + completion.alternatives_ms / 1000,
        )

    def _fingerprint(self, settings: Settings, has_view: bool) -> str:
        completion = settings.completion
        lengths = (completion.max_tokens, completion.max_block_tokens, completion.multiline)
        return repr((settings.context, lengths, self._models.generator.model_id, has_view))

    def _lookup(self, job: _Job) -> list[Suggestion] | None:
        clock = StageClock()
        found = self._store.lookup(
            job.place, job.multiline, job.n_wanted, lambda sources: still_current(job.view, sources)
        )
        if found is None:
            return None
        if not job.request.unasked:
            self._log.add(explained_again(found, job.request, clock))
        return [_suggestion(job.request, text) for text in found.texts]

    def _complete(self, job: _Job, cancel: CancelSignal) -> list[Suggestion]:
        clock = StageClock()
        if job.request.received_s is not None:
            clock.add("queue", max(0.0, time.monotonic() - job.request.received_s) * 1000)
        if cancel.cancelled or is_secret_file(job.request.path):
            return []
        stored = None if job.request.anew else self._lookup(job)
        return self._generated(job, cancel, clock) if stored is None else stored

    def _ahead(self, job: _Job, cancel: CancelSignal) -> Ahead:
        request, view, settings = job.request, job.view, job.settings.context
        untold = self._contexts.untold(request, view, settings) if request.anew else []
        if view is not None and len(view.fused(untold)) < len(untold):
            return Ahead(lacks_memories=True)
        suggestions = self._complete(job, cancel)
        return Ahead(suggestions, bool(self._contexts.untold(request, view, settings)))

    def _generated(self, job: _Job, cancel: CancelSignal, clock: StageClock) -> list[Suggestion]:
        with clock.stage("memory"):
            remembered = self._guard.attempt("the exact memory", lambda: self._remembered(job))
        context = self._contexts.build(job.request, job.view, job.settings.context, clock, remembered)
        if cancel.cancelled:
            return []
        with clock.stage("prompt"):
            memory = None if remembered is None else remembered.session
            prompting = Prompting(
                job.request, job.settings.context, self._models.generator, job.max_tokens, memory
            )
            built = prompting.prompt(context)
        generations = self._generate(job, built, cancel, clock)
        if generations is None:
            return []
        with clock.stage("postprocess"):
            texts = _texts(job, generations, self._secrets.with_those_of(job.request.told.secrets))
        explanation = explanation_of(job.request, context, built, generations, texts, clock)
        if not job.request.unasked:
            self._log.add(explanation)
        if texts or _ended_by_itself(generations):
            # Who asks again for more gets them: what was said before is decoded in no time.
            n_asked = _n_asked(job, generations)
            self._store.put(job.place, texts, job.multiline, n_asked, context.sources, explanation)
        return [_suggestion(job.request, text) for text in texts]

    def _remembered(self, job: _Job) -> Remembered | None:
        """What the workspace says after the words at the cursor; None where nobody wants to know."""
        if not job.settings.context.memory:
            return None
        return self._remembering.at(job.request, SuffixSnapshot() if job.view is None else job.view.memory)

    def _generate(
        self, job: _Job, built: BuiltPrompt, cancel: CancelSignal, clock: StageClock
    ) -> list[Generation] | None:
        """As many different ones as are wanted and there is time for, None after a cancel.

        They share deadline and KV cache.
        """
        generations: list[Generation] = []
        forks: list[Fork] = []
        for _ in range(MOST_TRIES * job.n_wanted):
            if _n_different(generations) == job.n_wanted:
                break
            if generations and not (forks and _has_time_for_another(job, generations[-1])):
                break
            rule = StopRule(
                max_tokens=job.max_tokens,
                mode=StopMode.BLOCK if job.multiline else StopMode.LINE,
                prefix=job.request.told.prefix[-STOP_PREFIX_CHARS:],
                deadline_s=job.deadline_s,
                begin=_likeliest_of(forks),
                wants_forks=job.n_wanted > 1,
            )
            generation = self._guard.attempt(
                "the generator", partial(self._models.generator.generate, built.prompt, rule, cancel)
            )
            if cancel.cancelled:
                return None
            if generation is None:
                break
            clock.add("prefill", generation.prefill_ms)
            clock.add("decode", generation.decode_ms)
            generations.append(generation)
            forks += generation.forks
        return generations


def _n_asked(job: _Job, generations: Sequence[Generation]) -> int:
    """For how many suggestions these are the answer: for all that were wanted, unless it was broken off."""
    went_through = len(generations) == MOST_TRIES * job.n_wanted
    return job.n_wanted if went_through else _n_different(generations)


def _n_different(generations: Sequence[Generation]) -> int:
    return len({generation.text for generation in generations})


def _likeliest_of(forks: list[Fork]) -> Fork | None:
    """Taken from among them; None where there are none, as before the first answer."""
    likeliest = max(forks, key=lambda fork: fork.logprob, default=None)
    if likeliest is not None:
        forks.remove(likeliest)
    return likeliest


def _has_time_for_another(job: _Job, last: Generation) -> bool:
    """Whether the first alternative may wait for another that takes as long as the last did."""
    ready_s = time.monotonic() + last.decode_ms / 1000
    return ready_s < min(job.alternatives_s, job.deadline_s)


def _texts(job: _Job, generations: Sequence[Generation], secrets: frozenset[str]) -> tuple[str, ...]:
    """What is left of the generations, best first, each once."""
    request = job.request
    texts: dict[str, None] = {}
    for generation in generations:
        draft = Draft(
            _whole_lines(generation),
            request.prefix,
            request.suffix,
            job.multiline,
            request.language,
            secrets,
        )
        text = postprocess(draft)
        if text is not None:
            texts[text] = None
    return tuple(texts)


def _whole_lines(generation: Generation) -> str:
    """Without the last line of a block where the limit or the deadline tore it."""
    torn = generation.stop_reason in (StopReason.LIMIT, StopReason.DEADLINE)
    whole = generation.text.rpartition("\n")[0] if torn else ""
    return whole if whole.strip() else generation.text


def _ended_by_itself(generations: Sequence[Generation]) -> bool:
    """Whether nothing would be gained by trying again."""
    return bool(generations) and all(g.stop_reason is not StopReason.DEADLINE for g in generations)


def _suggestion(request: CompletionRequest, text: str) -> Suggestion:
    """With a selected entry the suggestion extends its text and takes its range, as the protocol asks."""
    selected = request.selected
    if selected is None:
        return Suggestion(text, request.offset, request.offset)
    return Suggestion(selected.text + text, selected.start_offset, selected.end_offset)

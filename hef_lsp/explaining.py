"""How one answer is explained: what was decided, read and said, in the words of `hef_lsp.explanation`.

Pure functions of what the stages of `hef_lsp.engine` handed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hef_lsp.cache import Found
from hef_lsp.context import Context
from hef_lsp.explanation import ExplainedHit, Explanation, StageClock
from hef_lsp.request import CompletionRequest
from model.prompt import BuiltPrompt
from model.protocols import Generation, PseudoTokens
from model.slot_pairs import SlotPairs


def explanation_of(
    request: CompletionRequest,
    context: Context,
    built: BuiltPrompt,
    generations: Sequence[Generation],
    texts: tuple[str, ...],
    clock: StageClock,
) -> Explanation:
    """Of an answer that was just made: `texts` are what is left of the generations."""
    first = generations[0] if generations else None
    return Explanation(
        uri=request.document.uri,
        path=request.path,
        line=request.line,
        mode=str(context.mode),
        source="prefetched" if request.unasked else "generated",
        hits=_hits_with_use(context, built),
        n_pseudo_tokens=_n_pseudo_tokens(context.pseudo_tokens),
        n_prompt_tokens=len(built.prompt.token_ids),
        n_context_tokens=built.n_context_tokens,
        n_reused=first.n_reused if first else 0,
        n_prefilled=first.n_prefilled if first else 0,
        n_read_before=first.n_read_before if first else 0,
        n_decoded=sum(len(generation.token_ids) for generation in generations),
        n_forwards=sum(generation.n_forwards for generation in generations),
        timings=clock.timings(),
        suggestions=texts,
        stop_reasons=tuple(str(generation.stop_reason) for generation in generations),
        notes=context.notes,
    )


def explained_again(found: Found, request: CompletionRequest, clock: StageClock) -> Explanation:
    """The stored explanation as it stands for this answer: no model ran, so its stages took no time."""
    made_ahead = found.explanation.source == "prefetched"
    return replace(
        found.explanation,
        line=request.line,
        source="typed-through" if found.typed_through else "prefetched" if made_ahead else "exact",
        suggestions=found.texts,
        n_reused=0,
        n_prefilled=0,
        n_read_before=0,
        n_decoded=0,
        n_forwards=0,
        timings=clock.timings(),
    )


def _n_pseudo_tokens(told: PseudoTokens | None) -> int:
    """Pairs by what they hold, as settings count them: they take more positions, most of which are empty."""
    if isinstance(told, SlotPairs):
        return told.worth
    return 0 if told is None else len(told)


def _hits_with_use(context: Context, built: BuiltPrompt) -> tuple[ExplainedHit, ...]:
    """As text only as many were used, from the best on, as fitted their budget."""
    use = {place: rank < built.n_snippets for rank, place in enumerate(context.as_text)}
    return tuple(replace(hit, used=use.get(place, hit.used)) for place, hit in enumerate(context.hits))

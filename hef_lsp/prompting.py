"""The prompt of one request: what goes in, its sizes, and how far back the file is told.

Owns the choice between the usual window and a wider one. The layout is `model.prompt`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hef_lsp.context import Context
from hef_lsp.request import CompletionRequest
from hef_lsp.settings import ContextSettings
from indexer.languages import line_comment
from model.exact_memory import ExactMemory
from model.prompt import BuiltPrompt, PromptLimits, PromptPlan, build_prompt
from model.protocols import Generator

LARGEST_WINDOW = 3
"""The wider window takes at most one part in so many of the context window."""
HARDLY_MORE = 32
"""Positions to read for which the wider window is told all the same."""


@dataclass(frozen=True)
class Prompting:
    """Of one request. `reserve` tokens are kept free for the answer."""

    request: CompletionRequest
    settings: ContextSettings
    generator: Generator
    reserve: int
    memory: ExactMemory | None

    def prompt(self, context: Context) -> BuiltPrompt:
        """With the wider window where only the file is told and nothing more of it has to be read for that:
        where it was read before, or the last prompt told as much."""
        settings, generator = self.settings, self.generator
        wider = min(settings.read_prefix_tokens, generator.context_window // LARGEST_WINDOW)
        tells_more = bool(context.snippets) or context.pseudo_tokens is not None
        if tells_more or wider <= settings.prefix_tokens or not settings.open_file_tokens:
            return self._built(context, settings.prefix_tokens)
        wide = self._built(context, wider)
        if wide.prefix_start == 0 and wide.n_prefix_tokens <= settings.prefix_tokens:
            return wide
        n_wide = generator.n_to_read(wide.prompt)
        if n_wide <= HARDLY_MORE:  # while one types
            return wide
        usual = self._built(context, settings.prefix_tokens)
        return wide if n_wide <= generator.n_to_read(usual.prompt) + HARDLY_MORE else usual

    def _built(self, context: Context, prefix_tokens: int) -> BuiltPrompt:
        request, settings, generator = self.request, self.settings, self.generator
        plan = PromptPlan(
            prefix=request.told.prefix,
            suffix=request.told.suffix,
            path=request.path,
            comment=line_comment(request.language),
            snippets=context.snippets,
            pseudo_tokens=context.pseudo_tokens,
            told=context.told,
        )
        limits = PromptLimits(
            prefix_tokens=prefix_tokens,
            suffix_tokens=settings.suffix_tokens,
            text_tokens=settings.text_tokens,
            context_window=generator.context_window,
            reserve=self.reserve,
        )
        built = build_prompt(plan, limits, generator.tokenizer, generator.fim)
        open_text = request.document.uri if settings.open_file_tokens else ""
        return replace(built, prompt=replace(built.prompt, memory=self.memory, open_text=open_text))

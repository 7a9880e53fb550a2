"""What the generator reads, laid out so that its KV cache survives the next key.

Owns the layout (docs/decisions/0002-prompt-layout.md) and the cutting of prefix, suffix and
snippets to their limits. Pure: no torch, no clock, no state.

From left to right: pseudo-tokens, snippets of other files as comments (the best last), the
file's path as a comment, the prefix window. Families that fill in the middle read the suffix
window too, and their marks, in their own order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from model.protocols import FimOrder, FimTemplate, Prompt, PseudoTokens, Tokenizer

SNIPPETS_INTRODUCTION = "Here are some relevant code fragments from other files of the repo:"
CHARS_PER_TOKEN = 3
"""Of code, roughly; only sizes of steps are derived from it, never a limit."""
FEWEST_CHARS_PER_TOKEN = 2
"""Of dense code: what room is kept for the part that is being typed."""
STEPS_PER_WINDOW = 8
"""The prefix window moves on by this part of its size: smaller steps waste less of the budget,
larger ones keep the KV cache longer."""
LONG_LINE_STEPS = 2
"""A line longer than so many steps may be divided within."""
MOST_CHARS_PER_TOKEN = 16
"""Text longer than so many characters a token is cut before it is tokenised at all."""

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Snippet:
    """Code of another file; `comment` opens the line comments it is shown in (that of the open file)."""

    path: str
    text: str
    comment: str = ""


@dataclass(frozen=True)
class PromptPlan:
    """Everything that may go in; `snippets` are best first. `comment` opens a line comment.

    `told` are the texts that slots among the pseudo-tokens stand for.
    """

    prefix: str
    suffix: str
    path: str
    comment: str
    snippets: tuple[Snippet, ...] = ()
    pseudo_tokens: PseudoTokens | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptLimits:
    """Sizes in tokens. `reserve` is kept free in the context window for new tokens."""

    prefix_tokens: int
    suffix_tokens: int
    text_tokens: int
    context_window: int
    reserve: int


@dataclass(frozen=True)
class BuiltPrompt:
    """The prompt, and how many tokens each part of it took.

    `prefix_start` is the offset in the plan's prefix at which its window starts.
    `n_context_tokens` counts the snippets' text.
    """

    prompt: Prompt
    prefix_start: int
    n_context_tokens: int
    n_snippets: int = 0
    n_path_tokens: int = 0
    n_prefix_tokens: int = 0
    n_suffix_tokens: int = 0
    n_pseudo_tokens: int = 0


@dataclass(frozen=True)
class _Marks:
    """The ids of a family's marks; `middle` is empty where it has none."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    middle: tuple[int, ...]
    order: FimOrder

    @property
    def n_ids(self) -> int:
        return len(self.prefix) + len(self.suffix) + len(self.middle)

    def n_after(self, n_suffix: int) -> int:
        """Ids that come after the prefix's."""
        is_after = self.order is FimOrder.PREFIX_SUFFIX
        return len(self.middle) + (len(self.suffix) + n_suffix if is_after else 0)


def build_prompt(
    plan: PromptPlan, limits: PromptLimits, tokenizer: Tokenizer, fim: FimTemplate | None
) -> BuiltPrompt:
    """Lays out `plan` within `limits`.

    The prefix has the first claim on the room, then the suffix, then the snippets. Without a
    template, without its tokens in the vocabulary, or with no suffix wanted, the model reads
    to the left only. Raises ValueError where the pseudo-tokens leave no room for any text.
    """
    n_pseudo = 0 if plan.pseudo_tokens is None else len(plan.pseudo_tokens)
    marks = _marks(fim, tokenizer) if limits.suffix_tokens > 0 and _reads_suffix(plan, fim) else None
    path_ids = tokenizer.encode(path_line(plan.comment, plan.path))
    room = limits.context_window - limits.reserve - n_pseudo - (marks.n_ids if marks else 0)
    if room < 1:
        raise ValueError(
            f"{n_pseudo} pseudo-tokens and {limits.reserve} new tokens leave no room for text in a context "
            f"window of {limits.context_window}; lower context.pseudoTokens or completion.maxBlockTokens"
        )
    if len(path_ids) > room // 4:
        path_ids = []
    room -= len(path_ids)
    suffix_ids = _suffix_window(plan.suffix, min(limits.suffix_tokens, room // 4), tokenizer) if marks else []
    room -= len(suffix_ids)
    n_prefix = min(limits.prefix_tokens, room)
    start, prefix_ids = _prefix_window(plan.prefix, n_prefix, tokenizer)
    snippet_ids, n_snippets = _snippets(plan, min(limits.text_tokens, room - n_prefix), tokenizer)
    left = [*snippet_ids, *path_ids, *prefix_ids]
    told_ids = tuple(number for text in plan.told for number in tokenizer.encode(text))
    return BuiltPrompt(
        prompt=Prompt(
            tuple(_in_order(left, suffix_ids, marks)),
            plan.pseudo_tokens,
            n_told=len(snippet_ids),
            told_ids=told_ids,
            n_after=0 if marks is None else marks.n_after(len(suffix_ids)),
            n_window=len(prefix_ids),
            n_path=len(path_ids),
        ),
        prefix_start=start,
        n_context_tokens=len(snippet_ids),
        n_snippets=n_snippets,
        n_path_tokens=len(path_ids),
        n_prefix_tokens=len(prefix_ids),
        n_suffix_tokens=len(suffix_ids),
        n_pseudo_tokens=n_pseudo,
    )


def path_line(comment: str, path: str) -> str:
    """What tells the open file's path above its text."""
    return f"{comment} {path}\n" if path else ""


def _reads_suffix(plan: PromptPlan, fim: FimTemplate | None) -> bool:
    """Whether what stands after the cursor is told; for some, only where it ends the cursor's own line."""
    if fim is None:
        return False
    return not fim.within_lines_only or bool(plan.suffix.partition("\n")[0].strip())


def _marks(fim: FimTemplate | None, tokenizer: Tokenizer) -> _Marks | None:
    if fim is None:
        return None
    ids = [tokenizer.special_id(token) for token in (fim.prefix, fim.suffix, fim.middle) if token]
    known = [number for number in ids if number is not None]
    if len(known) < len(ids):
        return None
    return _Marks((known[0],), (known[1],), tuple(known[2:]), fim.order)


def _in_order(left: list[int], suffix: list[int], marks: _Marks | None) -> list[int]:
    if marks is None:
        return left
    before, after = [*marks.prefix, *left], [*marks.suffix, *suffix]
    halves = [*before, *after] if marks.order is FimOrder.PREFIX_SUFFIX else [*after, *before]
    return [*halves, *marks.middle]


def _suffix_window(suffix: str, n_tokens: int, tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode(suffix[: n_tokens * MOST_CHARS_PER_TOKEN])[:n_tokens]


def _snippets(plan: PromptPlan, n_tokens: int, tokenizer: Tokenizer) -> tuple[list[int], int]:
    """The ids of the snippets that fit, whole, the best last; and how many they are."""
    texts = [_as_comment(snippet, plan.comment) for snippet in plan.snippets if snippet.text.strip()]
    if not texts or n_tokens <= 0:
        return [], 0
    introduction = tokenizer.encode(f"{plan.comment} {SNIPPETS_INTRODUCTION}\n")
    left, kept = n_tokens - len(introduction), list[list[int]]()
    for text in texts:
        if len(text) > left * MOST_CHARS_PER_TOKEN:
            break
        ids = tokenizer.encode(text)
        if len(ids) > left:
            break
        kept.append(ids)
        left -= len(ids)
    if not kept:
        return [], 0
    return introduction + [token for ids in reversed(kept) for token in ids], len(kept)


def _as_comment(snippet: Snippet, comment: str) -> str:
    comment = snippet.comment or comment
    lines = _LINE_END.split(snippet.text.strip("\r\n"))
    body = (f"{comment} {line}".rstrip() for line in lines)
    return "\n".join([f"{comment} {snippet.path}", *body]) + "\n"


def _prefix_window(prefix: str, n_tokens: int, tokenizer: Tokenizer) -> tuple[int, list[int]]:
    """Where the window starts, and its ids: at most `n_tokens`.

    The text is divided at places that depend only on what stands before them, and the window
    starts at one of these. Room is kept for the last part to grow, so while one types the
    start stays where it is until a part is full, and then moves on by whole parts.
    """
    step = max(1, n_tokens * CHARS_PER_TOKEN // STEPS_PER_WINDOW)
    left, starts = n_tokens, list[int]()
    for place in _divisions(prefix, step):
        if not starts:
            left -= max(step, len(prefix) - place) // FEWEST_CHARS_PER_TOKEN
        else:
            left -= _n_tokens(prefix[place : starts[-1]], left, tokenizer)
            if left < 0:
                break
        starts.append(place)
    # At least a little, even where the last part is empty and the one before it very dense.
    start = max(min(starts[-1], len(prefix) - step // 4), len(prefix) - n_tokens * MOST_CHARS_PER_TOKEN, 0)
    ids = tokenizer.encode(prefix[start:])
    while len(ids) > n_tokens:  # the last part holds far more tokens than its size promised
        step_on = start + max(1, (len(prefix) - start) // STEPS_PER_WINDOW)
        start = min((place for place in starts if start < place < len(prefix)), default=step_on)
        ids = tokenizer.encode(prefix[start:])
    return start, ids


def _n_tokens(text: str, most: int, tokenizer: Tokenizer) -> int:
    if len(text) > max(1, most) * MOST_CHARS_PER_TOKEN:
        return most + 1
    return len(tokenizer.encode(text))


def _divisions(text: str, step: int) -> Iterator[int]:
    """Offsets from the end of `text` down to 0, in each stretch of `step` characters at most two.

    They are the stretch's first line start, and its own start where that lies deep in a long line.
    """
    for k in range(len(text) // step, 0, -1):
        begin = k * step
        line_start = text.find("\n", begin - 1, begin + step - 1) + 1
        if line_start:
            yield line_start
        if line_start != begin and text.find("\n", max(0, begin - LONG_LINE_STEPS * step), begin) < 0:
            yield begin
    yield 0

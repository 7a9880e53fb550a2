"""What the generator reads: the layout, the limits, and that it stays put while one types."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import FIM_MARKS, TINY_FIM, tiny_backend

from model.prompt import SNIPPETS_INTRODUCTION, BuiltPrompt, PromptLimits, PromptPlan, Snippet, build_prompt
from model.protocols import FimOrder, FimTemplate
from model.tokenization import HfTokenizer

TOKENIZER = HfTokenizer(tiny_backend(), {0, 1}, special_tokens=FIM_MARKS)
LIMITS = PromptLimits(prefix_tokens=200, suffix_tokens=40, text_tokens=200, context_window=2000, reserve=64)
SPM = FimTemplate(TINY_FIM.prefix, TINY_FIM.suffix, TINY_FIM.middle, order=FimOrder.SUFFIX_PREFIX)
CODE = "".join(f"def function_{n}(first, second):\n    return first + {n}\n\n\n" for n in range(400))
DENSE = LIMITS.prefix_tokens


def plan(prefix: str = "x = 1\n", suffix: str = "", **others: object) -> PromptPlan:
    return PromptPlan(prefix, suffix, path="pkg/a.py", comment="#", **others)  # type: ignore[arg-type]


def built(a_plan: PromptPlan, limits: PromptLimits = LIMITS, fim: FimTemplate | None = None) -> BuiltPrompt:
    return build_prompt(a_plan, limits, TOKENIZER, fim)


def text_of(prompt: BuiltPrompt) -> str:
    return TOKENIZER.decode(prompt.prompt.token_ids)


def test_left_only_layout() -> None:
    snippets = (Snippet("best.py", "a = 1\n\nb = 2\n", "#"), Snippet("worse.py", "c = 3", "#"))
    context = f"# {SNIPPETS_INTRODUCTION}\n# worse.py\n# c = 3\n# best.py\n# a = 1\n#\n# b = 2\n"
    expected = context + "# pkg/a.py\nx = 1\ny = "
    assert text_of(built(plan("x = 1\ny = ", "suffix", snippets=snippets))) == expected


def test_fim_orders() -> None:
    here = plan("before", "after")
    left = "# pkg/a.py\nbefore"
    psm = f"<|fim_prefix|>{left}<|fim_suffix|>after<|fim_middle|>"
    spm = f"<|fim_suffix|>after<|fim_prefix|>{left}<|fim_middle|>"
    assert text_of(built(here, fim=TINY_FIM)) == psm
    assert text_of(built(here, fim=SPM)) == spm


def test_a_family_without_a_middle_mark() -> None:
    no_middle = FimTemplate(TINY_FIM.prefix, TINY_FIM.suffix, "", order=FimOrder.SUFFIX_PREFIX)
    assert text_of(built(plan("b", "a"), fim=no_middle)).endswith("b")


def test_marks_are_single_tokens_even_where_the_source_quotes_them() -> None:
    prompt = built(plan("'<|fim_middle|>'", "a"), fim=TINY_FIM)
    assert prompt.prompt.token_ids.count(TOKENIZER.special_id("<|fim_middle|>") or -1) == 1


def test_a_vocabulary_without_the_marks_reads_to_the_left_only() -> None:
    foreign = FimTemplate("<PRE>", "<SUF>", "<MID>")
    assert built(plan("b", "a"), fim=foreign) == built(plan("b", "a"))


def test_no_suffix_wanted_means_no_marks() -> None:
    limits = PromptLimits(200, 0, 0, 2000, 64)
    assert text_of(built(plan("b", "a"), limits, TINY_FIM)) == "# pkg/a.py\nb"


def test_parts_are_counted() -> None:
    pseudo = np.zeros((5, 4), np.float32)
    snippets = (Snippet("b.py", "value", "#"),)
    got = built(plan("x = 1\n", "y", snippets=snippets, pseudo_tokens=pseudo), fim=TINY_FIM)
    n_marks = 3
    total = got.n_context_tokens + got.n_path_tokens + got.n_prefix_tokens + got.n_suffix_tokens + n_marks
    assert len(got.prompt.token_ids) == total
    assert (got.n_pseudo_tokens, got.n_snippets, got.n_suffix_tokens) == (5, 1, 1)
    assert got.prompt.pseudo_tokens is pseudo


def test_the_worst_snippets_are_dropped_whole() -> None:
    snippets = tuple(Snippet(f"file_{n}.py", f"value_{n} = {n}\n" * 8, "#") for n in range(9))
    got = built(plan(snippets=snippets))
    text = text_of(got)
    assert 0 < got.n_snippets < 9 and got.n_context_tokens <= LIMITS.text_tokens
    shown = [f"file_{n}.py" in text for n in range(9)]
    assert shown == [n < got.n_snippets for n in range(9)]
    assert all(text.count(f"value_{n} = {n}") == 8 for n in range(got.n_snippets))


def test_a_snippet_larger_than_all_room_leaves_no_introduction() -> None:
    got = built(plan(snippets=(Snippet("b.py", "value = 1\n" * 5000, "#"),)))
    assert (got.n_context_tokens, got.n_snippets) == (0, 0)
    assert SNIPPETS_INTRODUCTION not in text_of(got)


def test_unicode_line_separators_do_not_end_a_comment() -> None:
    """`str.splitlines` would, and the rest of the line would read as code of its own."""
    got = built(plan(snippets=(Snippet("b.py", "a = 'x\u2028y'\r\nb", "#"),)))
    assert "# a = 'x\u2028y'\n# b\n" in text_of(got)


def test_snippets_use_the_open_file_s_comments_where_they_name_none() -> None:
    got = build_prompt(
        PromptPlan("p", "", "a.ts", "//", (Snippet("b.ts", "let b"),)), LIMITS, TOKENIZER, None
    )
    assert "// b.ts\n// let b\n// a.ts\np" in text_of(got)


@pytest.mark.parametrize(
    ("prefix", "suffix", "reads"),
    [
        ("x = f(", ")\ny = 2", True),
        ("x = ", "\ny = 2", False),
        ("x = 1\n", "\ny = 2", False),
        ("x = 1\n", "y = 2", True),
        ("x", "  \ny", False),
        ("x", "", False),
    ],
)
def test_some_read_the_suffix_only_where_it_ends_the_line(prefix: str, suffix: str, reads: bool) -> None:
    within = replace(TINY_FIM, within_lines_only=True)
    expected = built(plan(prefix, suffix), fim=TINY_FIM if reads else None)
    assert built(plan(prefix, suffix), fim=within) == expected


@pytest.mark.parametrize("fim", [None, TINY_FIM])
def test_limits_hold_with_everything_too_large(fim: FimTemplate | None) -> None:
    snippets = tuple(Snippet(f"f{n}.py", CODE[:300], "#") for n in range(9))
    pseudo = np.zeros((48, 4), np.float32)
    got = built(plan(CODE, CODE, snippets=snippets, pseudo_tokens=pseudo), fim=fim)
    assert got.n_prefix_tokens <= LIMITS.prefix_tokens
    assert got.n_suffix_tokens <= LIMITS.suffix_tokens
    assert got.n_context_tokens <= LIMITS.text_tokens
    assert got.n_prefix_tokens > LIMITS.prefix_tokens // 2


@pytest.mark.parametrize("window", [100, 130, 200, 400])
def test_a_small_context_window_is_never_exceeded(window: int) -> None:
    limits = PromptLimits(200, 40, 200, context_window=window, reserve=64)
    pseudo = np.zeros((8, 4), np.float32)
    snippets = (Snippet("b.py", "value", "#"),)
    got = built(plan(CODE, CODE, snippets=snippets, pseudo_tokens=pseudo), limits, TINY_FIM)
    assert len(got.prompt.token_ids) + 8 + 64 <= window
    assert got.n_prefix_tokens > 0


def test_pseudo_tokens_that_leave_no_room_are_named() -> None:
    limits = PromptLimits(200, 0, 0, context_window=100, reserve=64)
    with pytest.raises(ValueError, match=r"36 pseudo-tokens.*window of 100; lower context.pseudoTokens"):
        built(plan(pseudo_tokens=np.zeros((36, 4), np.float32)), limits)


def test_an_empty_file() -> None:
    got = build_prompt(PromptPlan("", "", "", "#"), LIMITS, TOKENIZER, None)
    assert got.prompt.token_ids == () and got.prefix_start == 0


def test_the_window_starts_at_a_line_and_ends_at_the_cursor() -> None:
    got = built(plan(CODE))
    assert CODE[got.prefix_start - 1] == "\n"
    assert text_of(got) == "# pkg/a.py\n" + CODE[got.prefix_start :]


def test_a_short_prefix_is_read_whole() -> None:
    assert built(plan(CODE[:200])).prefix_start == 0


class CountingTokenizer(HfTokenizer):
    n_chars = 0

    def encode(self, text: str) -> list[int]:
        self.n_chars += len(text)
        return super().encode(text)


def test_a_prefix_of_fifty_thousand_lines_is_not_tokenised_whole() -> None:
    tokenizer = CountingTokenizer(tiny_backend(), ())
    prefix = "    total = total + value\n" * 50_000
    build_prompt(plan(prefix, prefix), LIMITS, tokenizer, TINY_FIM)
    assert tokenizer.n_chars < 20_000


@pytest.mark.parametrize(
    "prefix", ["x" * 40_000, "\U0001f389" * 9000, "\n" * 20_000, " " * 20_000, "é\n" * 9000]
)
def test_strange_prefixes_keep_the_limit(prefix: str) -> None:
    got = built(plan(prefix))
    assert 0 < got.n_prefix_tokens <= LIMITS.prefix_tokens
    assert text_of(got) == "# pkg/a.py\n" + prefix[got.prefix_start :]


LINE = st.sampled_from(
    [
        "",
        "def add(first, second):",
        "    return first + second",
        "        self.count += 1",
        "value = [x for x in range(10) if x % 2]",
        "print(value)",
        "    print(name, value, first, second, range(10), self.count, names, Counter, Path, return_value)",
    ]
)


@settings(max_examples=20, deadline=None)
@given(above=st.lists(LINE, min_size=10, max_size=60), typed=st.lists(LINE, min_size=1, max_size=5))
def test_the_start_of_the_window_moves_only_in_jumps_while_typing(above: list[str], typed: list[str]) -> None:
    """Each move costs a whole prefill, so there may be one for each part typed, and one more."""
    before, letters = "\n".join(above), "\n".join(typed)
    starts = [built(plan(before + letters[:n])).prefix_start for n in range(len(letters) + 1)]
    n_jumps = sum(a != b for a, b in itertools.pairwise(starts))
    step = LIMITS.prefix_tokens * 3 // 8
    assert n_jumps <= 2 + 2 * (len(letters) // step)


def common_start(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def test_typing_changes_only_the_end_of_the_ids() -> None:
    typed = "    total = first + second\n    return total\n"
    prompts = [built(plan(CODE[:9000] + typed[:n])).prompt.token_ids for n in range(len(typed))]
    n_changed = [len(a) - common_start(a, b) for a, b in itertools.pairwise(prompts)]
    assert sum(n > 8 for n in n_changed) <= 1


def test_an_accepted_line_keeps_the_window() -> None:
    before = CODE[:9000]
    a, b = built(plan(before)), built(plan(before + "    return total\n"))
    assert a.prefix_start == b.prefix_start

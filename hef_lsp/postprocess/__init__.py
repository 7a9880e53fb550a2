"""From what the generator said to what is worth showing: pure filters, one a file, in a fixed order.

The order matters. Marks of the model go first, since nothing after them means anything; then what the
document has already (below, above), for the later filters judge what is really new; brackets before
indentation and scope, because a closer that the suffix provides must not end the block; secrets when
nothing but white space can change any more; white space
and the question whether anything is left come last.
"""

from __future__ import annotations

from dataclasses import replace

from hef_lsp.postprocess.blank import drop_blank
from hef_lsp.postprocess.brackets import balance_brackets
from hef_lsp.postprocess.draft import Draft, Filter
from hef_lsp.postprocess.indentation import fit_indentation
from hef_lsp.postprocess.repeated_lines import stop_repetition
from hef_lsp.postprocess.repeated_suffix import trim_repeated_suffix
from hef_lsp.postprocess.scope import cut_at_scope
from hef_lsp.postprocess.secrets import drop_secrets
from hef_lsp.postprocess.special_tokens import cut_special_tokens
from hef_lsp.postprocess.trailing_space import trim_trailing_space
from hef_lsp.text_lines import unix_lines

__all__ = ["FILTERS", "Draft", "Filter", "postprocess"]

FILTERS: tuple[tuple[str, Filter], ...] = (
    ("special_tokens", cut_special_tokens),
    ("repeated_suffix", trim_repeated_suffix),
    ("repeated_lines", stop_repetition),
    ("brackets", balance_brackets),
    ("indentation", fit_indentation),
    ("scope", cut_at_scope),
    ("secrets", drop_secrets),
    ("trailing_space", trim_trailing_space),
    ("blank", drop_blank),
)

MOST_ROUNDS = 16
"""One cut can bare the next (a loop behind a special token), so the filters run until nothing changes."""

WINDOW = 24_000
"""Characters of the document that the filters see on either side of the cursor."""


def postprocess(draft: Draft, filters: tuple[tuple[str, Filter], ...] = FILTERS) -> str | None:
    """The text to suggest, or None. Filtering the result again changes nothing."""
    draft = replace(
        draft,
        text=unix_lines(draft.text),
        prefix=unix_lines(draft.prefix[-WINDOW:]),
        suffix=unix_lines(draft.suffix[:WINDOW]),
    )
    for _ in range(MOST_ROUNDS):
        filtered = _one_round(draft, filters)
        if filtered is None or filtered.text == draft.text:
            return None if filtered is None else filtered.text
        draft = filtered
    return None


def _one_round(draft: Draft, filters: tuple[tuple[str, Filter], ...]) -> Draft | None:
    for _, apply in filters:
        filtered = apply(draft)
        if filtered is None:
            return None
        draft = filtered
    return draft

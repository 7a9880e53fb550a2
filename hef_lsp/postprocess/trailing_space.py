"""Drops white space that nobody asked for: at the end, and on lines that hold nothing else."""

from __future__ import annotations

from hef_lsp.postprocess.draft import Draft


def trim_trailing_space(draft: Draft) -> Draft | None:
    """A blank at the very end stays only where code follows directly on the cursor's line."""
    lines = [line if line.strip() else "" for line in draft.text.split("\n")]
    text = "\n".join(lines)
    return draft.with_text(text if _code_follows(draft) and not text.endswith("\n") else text.rstrip())


def _code_follows(draft: Draft) -> bool:
    return draft.line_suffix[:1].isalnum() or draft.line_suffix[:1] == "_"

"""Cuts the suggestion at the first token that belongs to the model and not to the code.

Covers the marks of every family in the catalogue: ``<|...|>`` (Qwen, SmolLM2, Codestral), ``<｜...｜>``
(DeepSeek), ``<fim_...>`` and its like (StarCoder2, Granite), ``<PRE>`` (CodeLlama), ``</s>``.
"""

from __future__ import annotations

import re

from hef_lsp.postprocess.draft import Draft

_MARK = re.compile(
    r"<\|[^|<>\s]{1,40}\|>"
    r"|<｜[^｜<>\n]{1,40}｜>"
    r"|<(?:fim|file|repo|issue|commit|jupyter)_\w{1,30}>|<(?:reponame|filename|gh_stars|empty_output)>"
    r"| ?<(?:PRE|SUF|MID|EOT|END|unk|pad)>"
    r"|</s>|\[(?:PREFIX|SUFFIX|MIDDLE)\]"
)
_MIDDLE = re.compile(r"\s*(?:<\|fim_middle\|>|<fim_middle>|<\|?MID\|?>|\[MIDDLE\]|<｜fim▁end｜>)")
_STRUCK_THROUGH = re.compile(r"<s[ >]")
_HTML_WINDOW = 2000


def cut_special_tokens(draft: Draft) -> Draft | None:
    """What stands before the first special token, save those that say "here the middle begins"."""
    text = draft.text
    while leading := _MIDDLE.match(text):
        text = text[leading.end() :]
    for mark in _MARK.finditer(text):
        if not _is_html(mark, draft):
            text = text[: mark.start()]
            break
    return draft.with_text(text)


def _is_html(mark: re.Match[str], draft: Draft) -> bool:
    """Whether ``</s>`` closes a struck-through text and so belongs to the document."""
    before = draft.prefix[-_HTML_WINDOW:] + mark.string[: mark.start()]
    return mark.group() == "</s>" and _STRUCK_THROUGH.search(before) is not None

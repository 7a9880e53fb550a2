r"""Which place comes next: where the cursor stands after a suggestion was accepted and the line ended.

Pure functions of a request; all texts have lines ending in ``\n``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from hef_lsp.documents import DocumentSnapshot
from hef_lsp.postprocess.indentation import indentation_step
from hef_lsp.request import CompletionRequest, should_complete
from hef_lsp.text_lines import indent_of, last_line, n_open_brackets, opens_block, unix_lines

_LEAVES_A_BLOCK = re.compile(r"\s*(?:return|raise|break|continue|pass)\b")


def following_request(request: CompletionRequest, text: str) -> CompletionRequest | None:
    """What an editor asks after `text` was inserted at the cursor and the line ended; None where no line
    follows.

    The new line is indented as editors do it.
    """
    offset, document = request.offset, request.document
    if request.line_suffix.strip():
        return None
    accepted = request.prefix + unix_lines(text)
    if not last_line(accepted).strip():
        return None
    inserted = f"{text}\n{_indent_after(accepted, request)}"
    changed = document.text[:offset] + inserted + document.text[offset:]
    following = replace(
        request,
        document=DocumentSnapshot.of(document.uri, document.version, document.language_id, changed),
        offset=offset + len(inserted),
        invoked=False,
        n_alternatives=1,
        after_deletion=False,
        received_s=None,
        ahead=True,
        at_rest=False,
    )
    return following if should_complete(following) is None else None


def _indent_after(accepted: str, request: CompletionRequest) -> str:
    """Like the last line; a step deeper where that opens a block or a bracket; in Python a step less deep
    after a statement with which a block ends."""
    line, step = last_line(accepted), indentation_step(accepted, request.suffix)
    indent = indent_of(line)
    if opens_block(line, request.language) or line.rstrip().endswith(("(", "[")):
        return indent + step
    is_last = request.language == "python" and _LEAVES_A_BLOCK.match(line) and not n_open_brackets(line)
    return indent.removesuffix(step) if is_last else indent

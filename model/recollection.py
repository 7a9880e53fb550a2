"""What was decoded after the last prompts, to be guessed again where one of them comes back.

Owns the token ids, and nothing of what they are worth: they are drafts (`model.drafting`), so a wrong one
costs time alone. A key withdraws the request before it, and an editor asks anew at the same place or one
letter on: what was decoded by then is read several tokens a pass and not token by token, so that fast typing
does not keep a long answer away.
"""

from __future__ import annotations

from collections.abc import Sequence


class Recollection:
    """The latest sequence, of a prompt and what was decoded after it."""

    def __init__(self) -> None:
        self._known: tuple[int, ...] = ()

    def after(self, keys: Sequence[int]) -> tuple[int, ...]:
        """The tokens that followed a prompt of positions `keys` (`Inputs.keys`); none if it was another."""
        return self._known[len(keys) :] if self._known[: len(keys)] == tuple(keys) else ()

    def keep(self, keys: Sequence[int], token_ids: Sequence[int]) -> None:
        """These tokens followed; fewer than are known to follow take nothing away."""
        decoded = (*keys, *token_ids)
        if token_ids and self._known[: len(decoded)] != decoded:
            self._known = decoded

    def clear(self) -> None:
        """Forgets everything."""
        self._known = ()

"""What was decoded after the last prompts, to be guessed again where one of them comes back.

Owns the token ids, and nothing of what they are worth: they are drafts (`model.drafting`), so a wrong one
costs time alone. A key withdraws the request before it, and an editor asks anew at the same place or one
letter on: what was decoded by then is read several tokens a pass and not token by token, so that fast typing
does not keep a long answer away.
"""

from __future__ import annotations

from collections.abc import Sequence


class Recollection:
    """One sequence for each rank of the first token (`StopRule.branch`), the latest."""

    def __init__(self) -> None:
        self._sequences: dict[int, tuple[int, ...]] = {}

    def after(self, keys: Sequence[int], branch: int) -> tuple[int, ...]:
        """The tokens that followed a prompt of positions `keys` (`Inputs.keys`); none if it was another."""
        known = self._sequences.get(branch, ())
        return known[len(keys) :] if known[: len(keys)] == tuple(keys) else ()

    def keep(self, keys: Sequence[int], branch: int, token_ids: Sequence[int]) -> None:
        """These tokens followed; fewer than are known to follow take nothing away."""
        decoded = (*keys, *token_ids)
        if token_ids and self._sequences.get(branch, ())[: len(decoded)] != decoded:
            self._sequences[branch] = decoded

    def clear(self) -> None:
        """Forgets everything."""
        self._sequences.clear()

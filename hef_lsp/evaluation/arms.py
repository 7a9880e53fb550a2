"""The arms of an evaluation: ways of telling the generator about the repository, by name.

Owns the names, ``KIND[:BUDGET][+memory][+plain][+sure][+read]``, and the settings each stands for. Running
them is `hef_lsp.evaluation.runner`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hef_lsp.settings import (
    LEAST_SHARED_DENSE,
    LONGEST_DEADLINE_MS,
    CompletionSettings,
    ContextMode,
    ContextSettings,
    Settings,
)

NONE, TEXT, DENSE = "none", "text", "dense"
ITERATIVE = "iterative"
"""Text twice: the second search is guided by what the first round answered (RepoCoder)."""
GRAPH = "graph"
"""Text: the definitions that the file's imports reach, instead of a search."""
LEAVES = "leaves"
"""Dense, of chunks alone and not of files and directories."""
RANDOM = "random"
"""Dense, with the vectors of another repository in place of those found: what vectors say by their shape."""
ADVERSARIAL = "adversarial"
"""Chunks as in `leaves`, each replaced by the one of another repository that is most like it."""
KINDS = {
    NONE: ContextMode.NONE,
    TEXT: ContextMode.TEXT,
    ITERATIVE: ContextMode.TEXT,
    GRAPH: ContextMode.TEXT,
    DENSE: ContextMode.DENSE,
    LEAVES: ContextMode.DENSE,
    RANDOM: ContextMode.DENSE,
    ADVERSARIAL: ContextMode.DENSE,
}
CHUNKS_ALONE = frozenset({LEAVES, ADVERSARIAL})
STRANGE = frozenset({RANDOM, ADVERSARIAL})
"""Those that are told of another repository."""
MEMORY, PLAIN, LORA, SURE, READ = "memory", "plain", "lora", "sure", "read"
"""With exact memory; without the checkpoint's adapter; with it, as is usual, for who wants to say so; told
nothing where nothing found is like what stands at the cursor, which is dense mode's default; with the open
file read before anyone asks, which is the server's default."""
EXTRAS = frozenset({MEMORY, PLAIN, LORA, SURE, READ})
SERVED = (NONE, TEXT, DENSE)
"""Kinds that the server's settings can make; the others want another engine or other vectors."""
SHIPPED = "auto"
"""The server as it comes. Only one that goes on can be asked for it: what it tells depends on what was asked
before."""
LARGEST_BUDGET = 4096
LINE_TOKENS = 64
BLOCK_TOKENS = 256
_NAME = re.compile(r"(?P<kind>[a-z]+)(?::(?P<budget>\d{1,4}))?(?P<rest>(?:\+[a-z]+)*)")


class UnknownArm(ValueError):
    """An arm that this version cannot run."""


@dataclass(frozen=True)
class Arm:
    """One way. `budget` is of pseudo-tokens (dense) or tokens of snippets (text); None is the setting's."""

    name: str
    kind: str
    budget: int | None
    memory: bool
    plain: bool
    sure: bool = False
    read: bool = False

    @property
    def is_dense(self) -> bool:
        """Whether vectors are read."""
        return KINDS[self.kind] is ContextMode.DENSE

    @property
    def n_rounds(self) -> int:
        """How often one answer is worked out."""
        return 2 if self.kind == ITERATIVE else 1

    @property
    def context_options(self) -> dict[str, Any]:
        """The fields of `ContextSettings` in which arms differ."""
        budget = {} if self.budget is None else {self._budget_name: self.budget}
        return {
            "mode": KINDS[self.kind],
            "memory": self.memory,
            "least_shared": LEAST_SHARED_DENSE if self.sure else 0,
            "open_file_tokens": ContextSettings.open_file_tokens if self.read else 0,
            **budget,
        }

    @property
    def _budget_name(self) -> str:
        return "pseudo_tokens" if self.is_dense else "text_tokens"

    def settings(self, is_multiline: bool = False, base: Settings | None = None) -> Settings:
        """`base` in this arm's mode, for one answer with all the time it takes."""
        base = base or Settings()
        context = replace(base.context, **self.context_options)
        return replace(base, context=context, completion=_patient(base.completion, is_multiline))


def _patient(completion: CompletionSettings, is_multiline: bool) -> CompletionSettings:
    return replace(
        completion,
        deadline_ms=LONGEST_DEADLINE_MS,
        max_tokens=LINE_TOKENS,
        max_block_tokens=BLOCK_TOKENS,
        multiline=is_multiline,
    )


def arms_of(names: str) -> list[Arm]:
    """Of names with commas between. Raises UnknownArm."""
    return [arm_of(name) for name in names.split(",") if name.strip()]


def check_served(names: Iterable[str]) -> None:
    """Raises UnknownArm for one that the real server cannot be asked for."""
    for name in names:
        served_options(name)


def served_options(name: str) -> dict[str, Any]:
    """The fields of `ContextSettings` for an arm that the real server can be asked for, `SHIPPED` among them.

    Raises UnknownArm, with what is known.
    """
    return {} if name == SHIPPED else served_arm_of(name).context_options


def served_arm_of(name: str) -> Arm:
    """One that the real server can be asked for by settings. Raises UnknownArm, with what is known."""
    arm = arm_of(name)
    if arm.kind not in SERVED or arm.plain:
        raise UnknownArm(
            f"the server knows no arm {name!r}; it has {', '.join(SERVED)}, each with +{MEMORY}, +{SURE} or "
            f"+{READ}, and with a budget as in text:256, and {SHIPPED}, as it comes"
        )
    return arm


def arm_of(name: str) -> Arm:
    """Raises UnknownArm, with what is known."""
    found = _NAME.fullmatch(name.strip())
    extras = set(found["rest"].split("+")[1:]) if found else set()
    if (
        found is None
        or found["kind"] not in KINDS
        or not extras <= EXTRAS
        or extras >= {PLAIN, LORA}
        or (found["budget"] and (found["kind"] == NONE or int(found["budget"]) > LARGEST_BUDGET))
    ):
        raise UnknownArm(
            f"there is no arm {name!r}; known: {', '.join(KINDS)}, each with +{MEMORY}, +{PLAIN}, +{LORA}, "
            f"+{SURE} or +{READ}, and with a budget of up to {LARGEST_BUDGET} tokens as in dense:16, text:256"
        )
    budget = int(found["budget"]) if found["budget"] else None
    flags = {name: name in extras for name in (MEMORY, PLAIN, SURE, READ)}
    return Arm(name.strip(), found["kind"], budget, **flags)

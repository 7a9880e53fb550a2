"""What stood behind a suggestion: context, figures and timings, for `hef.explain` and the command line.

Owns the data and the log of the latest explanation of each document. `dataclasses.asdict` of an
`Explanation` is what travels: plain strings, numbers, lists and dicts.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from indexer.retriever import Hit

PREVIEW_CHARS = 200
MOST_DOCUMENTS = 64

Source = Literal["generated", "exact", "typed-through", "prefetched"]
"""Just made, kept from this very place, the rest of what was offered before, or made before it was asked."""


@dataclass(frozen=True)
class Timings:
    """Milliseconds of each stage. `queue_ms` is the time between the request's arrival and its turn."""

    queue_ms: float = 0.0
    retrieve_ms: float = 0.0
    project_ms: float = 0.0
    prompt_ms: float = 0.0
    memory_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    postprocess_ms: float = 0.0
    total_ms: float = 0.0


@dataclass(frozen=True)
class ExplainedHit:
    """One retrieved node; `kind` is ``chunk``, ``group``, ``file``, ``directory`` or ``repository``.

    `used`: whether it reached the generator: its memory was fused, or its text fitted the budget. `alike`:
    one stands there as at the cursor (`indexer.likest_lines`).
    """

    kind: str
    path: str
    start_line: int
    end_line: int
    score: float
    dense_score: float
    lexical_score: float
    text: str
    used: bool = True
    alike: bool = False


@dataclass(frozen=True)
class Explanation:
    """One answer and its reasons. `line` counts from 0; `mode` is the context mode that was really used.

    Of the prompt's tokens `n_reused` were in the cache, `n_read_before` were read when nobody asked, and
    `n_prefilled` were read. `n_decoded` tokens took `n_forwards` passes through the model after the prompt's.
    `notes` say in words where the answer differs from what the settings ask for.
    """

    uri: str
    path: str
    line: int
    mode: str
    source: Source = "generated"
    hits: tuple[ExplainedHit, ...] = ()
    n_pseudo_tokens: int = 0
    n_prompt_tokens: int = 0
    n_context_tokens: int = 0
    n_reused: int = 0
    n_prefilled: int = 0
    n_read_before: int = 0
    n_decoded: int = 0
    n_forwards: int = 0
    timings: Timings = field(default_factory=Timings)
    suggestions: tuple[str, ...] = ()
    stop_reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def explained(hit: Hit, used: bool) -> ExplainedHit:
    """A hit without the index behind it, its text cut to a preview."""
    return ExplainedHit(
        kind=hit.node.kind.name.lower(),
        path=hit.node.path,
        start_line=hit.start_line,
        end_line=hit.end_line,
        score=hit.score,
        dense_score=hit.dense_score,
        lexical_score=hit.lexical_score,
        text=hit.text[:PREVIEW_CHARS],
        used=used,
        alike=hit.alike,
    )


class StageClock:
    """Adds up the time spent in each stage of one request. One thread."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._stages_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, (time.perf_counter() - began_s) * 1000)

    def add(self, name: str, milliseconds: float) -> None:
        self._stages_ms[name] = self._stages_ms.get(name, 0.0) + milliseconds

    def timings(self) -> Timings:
        """The stages so far; the total counts the queue too."""
        total_ms = (time.perf_counter() - self._began_s) * 1000 + self._stages_ms.get("queue", 0.0)
        return Timings(**{f"{name}_ms": ms for name, ms in self._stages_ms.items()}, total_ms=total_ms)


class ExplanationLog:
    """The latest explanation, and that of each of the last `MOST_DOCUMENTS` documents. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_uri: OrderedDict[str, Explanation] = OrderedDict()
        self._last: Explanation | None = None

    def add(self, explanation: Explanation) -> None:
        with self._lock:
            self._last = explanation
            self._by_uri[explanation.uri] = explanation
            self._by_uri.move_to_end(explanation.uri)
            while len(self._by_uri) > MOST_DOCUMENTS:
                self._by_uri.popitem(last=False)

    def last(self, uri: str | None = None) -> Explanation | None:
        """The latest of the document `uri`, or of all."""
        with self._lock:
            return self._last if uri is None else self._by_uri.get(uri)

    def forget(self, uri: str) -> None:
        """Drop what is kept of a closed document."""
        with self._lock:
            self._by_uri.pop(uri, None)

"""The candidates for the next token, and what is known of each: by the model, and by the exact memory.

Owns the choice of candidates and their features, which the gate is fitted to (`model.gate_fitting`) and
asked with (`model.interpolation`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model.exact_memory import Candidate, ExactMemory, Kin, Match, TrackRecord
from model.protocols import FloatArray, IntArray
from model.scores import LEAST_LOG_PROB, Distribution, best_of
from model.token_texts import TokenTexts

N_MODEL = 5
"""Candidates that the model names."""
N_MATCH = 4
"""Candidates that each match names."""
N_MATCHES = 3
N_KIN = 3
"""Candidates that the places with the likest surroundings name."""
MOST_TOLD = 512
"""Tokens of retrieved text: gates saw no more."""
CONTEXT = 64
"""Tokens before a candidate that the memory compares."""

_OF_MODEL = ("log_prob", "behind_best", "is_best", "prob", "best_prob", "entropy")
_OF_MATCH = (
    "length",
    "longest",
    "log_support",
    "share",
    "log_count",
    "in_file",
    "near",
    "first",
    "own_share",
    "length_share",
)
_OF_RECORD = ("long_hits", "long_places", "very_long_hits", "very_long_places", "short_hits")
_OF_KIN = ("cover", "aligned", "deep", "vote", "likest", "behind_likest")
_OF_PLACE = ("ends_line", "column", "told", "seen", "inside")
FEATURES = (
    *_OF_MODEL,
    *(f"{name}_{number}" for number in range(N_MATCHES) for name in _OF_MATCH),
    *_OF_RECORD,
    *_OF_PLACE,
    *(f"kin_{name}" for name in _OF_KIN),
)
"""Log-probabilities in units of 5 nats (`log_prob`, `behind_best`, `entropy`), lengths of 16 tokens, binary
logarithms of 10, `column` (characters of the line so far) of 100, `told` (the prompt's retrieved text) of 512
tokens; `seen` says that the prompt has the token, `inside` that the line was begun before the cursor; the
others are shares or yes and no."""
LOG_PROB = FEATURES.index("log_prob")
_NO_KIN = (0.0,) * (len(_OF_KIN) - 1) + (-1.0,)
_ABSENT = (0.0,) * len(_OF_MATCH)


@dataclass(frozen=True)
class Candidates:
    """`ids` ``[C]``, none twice, and `features` ``[C, F]``; the model's best comes first."""

    ids: IntArray
    features: FloatArray


class CandidateReader:
    """The candidates of one generation, step by step; keeps the tokens so far."""

    def __init__(
        self,
        memory: ExactMemory,
        texts: TokenTexts,
        context: Sequence[int],
        healed: str = "",
        n_told: int = 0,
        told_ids: Sequence[int] = (),
    ) -> None:
        """`context` are the tokens before the first step, `n_told` of them retrieved text; `told_ids` are
        those that slots stand for: the model knows of them as if it had read them.

        `healed` is the text that the first steps spell again.
        """
        self._memory, self._texts = memory, texts
        self._context = list(context[-CONTEXT:])
        self._seen = {*context, *told_ids}
        self._told = min(MOST_TOLD, n_told + len(told_ids)) / MOST_TOLD
        self._known: tuple[Sequence[Match], Sequence[Kin]] | None = None
        self._column = 0 if healed.startswith("\n") else _column(context, texts)
        self._inside = float(self._column > 0)

    def candidates(self, said: Distribution) -> Candidates:
        """The best tokens of what the model `said`, and those of each match."""
        matches, kin = self.known()
        named = (*best_of(said.log_probs, N_MODEL), *_named(matches), *(one.token_id for one in kin[:N_KIN]))
        ids = list(dict.fromkeys(named))
        chosen = np.array(ids)
        of_kin, of_record = _of_kin(kin), _of_record(self._memory.record)
        ends, place = self._texts.ends_line.take(chosen).tolist(), self._column / 100
        rows = [
            (
                *(*of_model, *of_matches, *of_record),
                *(ends_line, place, self._told, token in self._seen, self._inside),
                *of_kin.get(token, _NO_KIN),
            )
            for token, of_model, of_matches, ends_line in zip(
                ids, _of_model(said, chosen), _of_matches(ids, matches), ends, strict=True
            )
        ]
        return Candidates(chosen, np.array(rows, dtype=np.float32))

    def known(self) -> tuple[Sequence[Match], Sequence[Kin]]:
        """What the memory knows of the words so far; worked out once, as drafts and choice both ask."""
        if self._known is None:
            matches = self._memory.matches(self._context)[:N_MATCHES]
            self._known = matches, self._memory.kin(self._context)
        return self._known

    def begin_line(self) -> None:
        """What comes now counts as if decoding had begun here, where a line does."""
        self._column, self._inside = 0, 0.0

    def push(self, token_id: int) -> None:
        """`token_id` was chosen."""
        self._known = None
        self._context.append(token_id)
        del self._context[:-CONTEXT]
        self._column += self._texts.n_chars[token_id]


def _column(context: Sequence[int], texts: TokenTexts) -> int:
    """Characters since the last token that begins a line; 0 where nothing follows it."""
    n_chars = 0
    for place in range(len(context) - 1, -1, -1):
        if bool(texts.ends_line[context[place]]):
            return n_chars + texts.n_chars[context[place]] if n_chars else 0
        n_chars += texts.n_chars[context[place]]
    return n_chars


def _named(matches: Sequence[Match]) -> list[int]:
    return [candidate.token_id for match in matches for candidate in match.candidates[:N_MATCH]]


def _of_model(said: Distribution, chosen: IntArray) -> list[tuple[float, ...]]:
    entropy = said.entropy / 5
    values = said.log_probs.take(chosen).clip(min=LEAST_LOG_PROB).tolist()
    best = values[0]
    return [
        (value / 5, (value - best) / 5, float(row == 0), math.exp(value), math.exp(best), entropy)
        for row, value in enumerate(values)
    ]


def _of_matches(ids: Sequence[int], matches: Sequence[Match]) -> Iterator[tuple[float, ...]]:
    """Of each of the tokens."""
    columns = [_of_match(ids, match) for match in matches]
    columns += [[_ABSENT] * len(ids)] * (N_MATCHES - len(matches))
    return (one + other + last for one, other, last in zip(*columns, strict=True))


def _of_match(ids: Sequence[int], match: Match) -> list[tuple[float, ...]]:
    said = {candidate.token_id: candidate for candidate in match.candidates}
    of_all = (match.length / 16, float(match.length >= 16), math.log2(max(1, match.support)) / 10)
    return [
        of_all + (_of_candidate(said[token], match) if token in said else _ABSENT[len(of_all) :])
        for token in ids
    ]


def _of_candidate(candidate: Candidate, match: Match) -> tuple[float, ...]:
    share = candidate.count / max(1, match.support)
    return (
        share,
        math.log2(1 + candidate.count) / 10,
        float(candidate.n_own > 0),
        candidate.near,
        float(candidate is match.candidates[0]),
        min(1.0, candidate.n_own / max(1, candidate.count)),
        match.length / 16 * share,
    )


def _of_kin(kin: Sequence[Kin]) -> dict[int, tuple[float, ...]]:
    """By token; `behind_likest` is how much less its cover is than the best one's."""
    most = max((one.cover for one in kin), default=0.0)
    return {
        one.token_id: (
            *(one.cover, one.aligned, one.deep, one.vote),
            *(float(rank == 0), one.cover - most),
        )
        for rank, one in enumerate(kin)
    }


def _of_record(record: TrackRecord) -> tuple[float, ...]:
    """Shares of hits, drawn to what is usual where there were few places."""
    n = max(1, record.n_positions)
    return (
        (record.hits_long + 0.5) / (record.n_long + 2),
        record.n_long / n,
        (record.hits_very_long + 0.7) / (record.n_very_long + 1.5),
        record.n_very_long / n,
        (record.hits_short + 0.2) / (record.n_short + 1.5),
    )

"""Candidates and what is known of them, against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from model.candidates import FEATURES, CandidateReader
from model.exact_memory import Candidate, Kin, Match, TrackRecord
from model.scores import Distribution
from model.token_texts import TokenTexts

TEXTS = TokenTexts(np.array([False, False, True, *[False] * 17]), [3] * 20)
PROBS = np.array([0.1, 0.5, 0.2, 0.1, 0.04, 0.03, 0.02, *[0.01 / 13] * 13], dtype=np.float32)
SAID = Distribution.of(np.log(PROBS))


class Memory:
    def __init__(self, *matches: Match, record: TrackRecord | None = None, kin: tuple[Kin, ...] = ()) -> None:
        self.found, self.record, self.likest = matches, record or TrackRecord(), kin
        self.asked: list[list[int]] = []

    def match(self, context: Sequence[int]) -> Match | None:
        return self.found[0] if self.found else None

    def kin(self, context: Sequence[int]) -> tuple[Kin, ...]:
        return self.likest

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        self.asked.append(list(context))
        return self.found


def features(memory: Memory) -> dict[int, dict[str, float]]:
    found = CandidateReader(memory, TEXTS, [1, 2]).candidates(SAID)
    rows = (dict(zip(FEATURES, row, strict=True)) for row in found.features.tolist())
    return dict(zip(found.ids.tolist(), rows, strict=True))


def test_the_models_best_come_first_then_the_memorys_each_once() -> None:
    long = Match(9, 2, (Candidate(12, 1, 0, 0.5), Candidate(1, 1, 1, 1.0)))
    short = Match(2, 9, tuple(Candidate(token, 1, 0, 0.5) for token in (12, 13, 14, 15, 16)))
    rows = features(Memory(long, short))
    assert list(rows) == [1, 2, 0, 3, 4, 12, 13, 14, 15]  # of a match four at most


def test_what_the_model_says() -> None:
    row = features(Memory())[2]
    assert row["log_prob"] == pytest.approx(math.log(0.2) / 5)
    assert row["behind_best"] == pytest.approx(math.log(0.2 / 0.5) / 5)
    assert (row["prob"], row["best_prob"], row["is_best"]) == pytest.approx((0.2, 0.5, 0.0))
    entropy = -float((PROBS * np.log(PROBS)).sum())
    assert row["entropy"] == pytest.approx(entropy / 5)
    assert row["ends_line"] == 1.0 and features(Memory())[1]["ends_line"] == 0.0
    assert features(Memory())[1]["is_best"] == 1.0


def test_what_the_memory_says() -> None:
    long = Match(12, 4, (Candidate(12, 3, 2, 1.0), Candidate(1, 1, 0, 0.25)))
    short = Match(3, 8, (Candidate(1, 6, 0, 0.25), Candidate(12, 2, 2, 1.0)))
    row = features(Memory(long, short))[12]
    expected = {"length": 12 / 16, "longest": 0.0, "log_support": 0.2, "share": 0.75, "log_count": 0.2}
    expected |= {"in_file": 1.0, "near": 1.0, "first": 1.0, "own_share": 2 / 3, "length_share": 0.75 * 0.75}
    assert {name: row[f"{name}_0"] for name in expected} == pytest.approx(expected)
    assert (row["length_1"], row["log_support_1"], row["share_1"]) == pytest.approx((3 / 16, 0.3, 0.25))
    assert (row["first_1"], row["length_2"], row["share_2"]) == (0.0, 0.0, 0.0)
    unnamed = features(Memory(long, short))[3]
    assert (unnamed["length_0"], unnamed["share_0"], unnamed["near_0"]) == (12 / 16, 0.0, 0.0)


def test_what_the_likest_places_say() -> None:
    kin = (Kin(12, 0.8, 0.5, 0.1, 0.7), Kin(1, 0.9, 0.2, 0.0, 0.2), Kin(13, 0.1, 0.1, 0.0, 0.06))
    rows = features(Memory(kin=(*kin, Kin(14, 0.1, 0.1, 0.0, 0.04))))
    assert list(rows) == [1, 2, 0, 3, 4, 12, 13]  # three at most
    names = ("cover", "aligned", "deep", "vote", "likest", "behind_likest")
    said = {token: [row[f"kin_{name}"] for name in names] for token, row in rows.items()}
    assert said[12] == pytest.approx([0.8, 0.5, 0.1, 0.7, 1.0, -0.1])
    assert said[1] == pytest.approx([0.9, 0.2, 0.0, 0.2, 0.0, 0.0])
    assert said[3] == [0.0] * 5 + [-1.0]


def test_the_memory_is_asked_once_for_the_same_words() -> None:
    memory = Memory()
    reader = CandidateReader(memory, TEXTS, [1, 2])
    reader.known()
    reader.candidates(SAID)
    assert memory.asked == [[1, 2]]
    reader.push(3)
    reader.candidates(SAID)
    assert memory.asked == [[1, 2], [1, 2, 3]]


def test_how_the_memory_has_done() -> None:
    row = features(Memory(record=TrackRecord(100, 40, 10, 50, 30, 20, 16)))[1]
    assert (row["long_hits"], row["long_places"]) == pytest.approx((30.5 / 52, 0.5))
    assert (row["very_long_hits"], row["very_long_places"]) == pytest.approx((16.7 / 21.5, 0.2))
    assert row["short_hits"] == pytest.approx(10.2 / 41.5)
    unknown = features(Memory())[1]
    assert unknown["long_hits"] == pytest.approx(0.25) and unknown["long_places"] == 0.0


COLUMN, INSIDE = FEATURES.index("column"), FEATURES.index("inside")


def place(reader: CandidateReader) -> tuple[float, float]:
    row = reader.candidates(SAID).features[0]
    return round(float(row[COLUMN]) * 100), float(row[INSIDE])


def test_chosen_tokens_become_context_and_are_counted() -> None:
    memory = Memory()
    reader = CandidateReader(memory, TEXTS, [*range(20)] * 4, healed="\n")
    assert place(reader) == (0, 0.0)
    reader.push(7)
    assert place(reader) == (3, 0.0)
    assert memory.asked == [([*range(20)] * 4)[-64:], [*([*range(20)] * 4)[-63:], 7]]


def test_a_cursor_within_a_line_is_told_from_one_at_its_start() -> None:
    """Token 2 begins a line; each token is three characters."""
    inside = CandidateReader(Memory(), TEXTS, [5, 2, 6, 7])
    assert place(inside) == (9, 1.0)
    inside.push(8)
    assert place(inside) == (12, 1.0)
    inside.begin_line()
    assert place(inside) == (0, 0.0)
    assert place(CandidateReader(Memory(), TEXTS, [5, 2, 6], healed="\n   ")) == (0, 0.0)
    assert place(CandidateReader(Memory(), TEXTS, [5, 6, 2])) == (0, 0.0)
    assert place(CandidateReader(Memory(), TEXTS, [5, 6], healed="na")) == (6, 1.0)


def test_what_the_prompt_holds() -> None:
    reader = CandidateReader(Memory(), TEXTS, [1, 2], n_told=128)
    found = reader.candidates(SAID)
    rows = dict(zip(found.ids.tolist(), found.features.tolist(), strict=True))
    told, seen = FEATURES.index("told"), FEATURES.index("seen")
    assert [rows[token][seen] for token in (1, 2, 0, 3)] == [1.0, 1.0, 0.0, 0.0]
    assert {row[told] for row in rows.values()} == {0.25}


def test_what_pseudo_tokens_stand_for_counts_as_read() -> None:
    reader = CandidateReader(Memory(), TEXTS, [1, 2], n_told=64, told_ids=[3] * 64)
    found = reader.candidates(SAID)
    rows = dict(zip(found.ids.tolist(), found.features.tolist(), strict=True))
    told, seen = FEATURES.index("told"), FEATURES.index("seen")
    assert [rows[token][seen] for token in (1, 2, 0, 3)] == [1.0, 1.0, 0.0, 1.0]
    assert {row[told] for row in rows.values()} == {0.25}
    much = CandidateReader(Memory(), TEXTS, [], told_ids=[3] * 9_000).candidates(SAID)
    assert {row[told] for row in much.features.tolist()} == {1.0}


def test_a_small_vocabulary_has_fewer_candidates() -> None:
    texts = TokenTexts(np.array([False, False]), [1, 1])
    said = Distribution.of(np.log(np.array([0.3, 0.7], dtype=np.float32)))
    found = CandidateReader(Memory(), texts, []).candidates(said)
    assert found.ids.tolist() == [1, 0]

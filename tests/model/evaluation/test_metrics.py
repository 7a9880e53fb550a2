"""Scores as the benchmarks define them."""

from __future__ import annotations

import pytest

from model.evaluation.metrics import (
    crosscodeeval,
    identifiers,
    mean_of,
    paired_difference,
    repobench,
    repocoder,
    score,
    sign_test,
)


@pytest.mark.parametrize(
    ("target", "prediction", "em"),
    [
        ("    x = f(a)", "x = f(a)\ny = 2", 1.0),  # cut to one line, blanks at the ends do not count
        ("    x = f(a)", "x = f(b)", 0.0),
        ("a = 1\n\n    b = 2\n", "a = 1\nb = 2\nc = 3", 1.0),  # blank lines do not count
        ("a = 1\nb = 2", "a = 1", 0.0),
    ],
)
def test_repocoder_compares_stripped_lines(target: str, prediction: str, em: float) -> None:
    assert repocoder(target, prediction)[0] == em


def test_repocoder_similarity_is_one_less_distance_by_the_longer() -> None:
    assert repocoder("abcd", "abed")[1] == 0.75
    assert repocoder("abcd", "")[1] == 0.0
    assert repocoder("", "")[1] == 1.0


def test_crosscodeeval_takes_the_first_line_that_says_anything() -> None:
    assert crosscodeeval("run(x)", "\n  run(x)\nmore") == (1.0, 1.0)
    em, es = crosscodeeval("run(x)", "run(y)")
    assert em == 0.0
    assert round(es, 3) == 0.833


def test_repobench_compares_word_for_word() -> None:
    assert repobench("x  =  1", "x = 1")[0] == 1.0
    assert repobench("x = 1", "x=1")[0] == 0.0


def test_identifiers_are_names_in_order_without_keywords() -> None:
    assert identifiers("return self.total(x1, 2)") == ["self", "total", "x1"]


def test_identifier_figures_count_copies() -> None:
    one = score(repocoder, "f(a, a)", "f(a, b)")
    assert one.id_em == 0.0
    assert round(one.id_f1, 4) == round(2 * 2 / 6, 4)
    assert score(repocoder, "1 + 2", "3").id_f1 == 1.0


def test_an_interval_holds_its_mean_and_shrinks_with_rows() -> None:
    few, many = mean_of([0.0, 1.0] * 10), mean_of([0.0, 1.0] * 1000)
    assert few.low < few.value == 0.5 < few.high
    assert many.high - many.low < few.high - few.low
    assert mean_of([0.0, 1.0] * 10) == few
    with pytest.raises(ValueError, match="no values"):
        mean_of([])


def test_a_difference_is_taken_row_by_row() -> None:
    difference = paired_difference([1.0, 0.0, 1.0], [0.0, 0.0, 1.0])
    assert round(difference.value, 4) == 0.3333
    with pytest.raises(ValueError, match="argument"):
        paired_difference([1.0], [])


def test_the_sign_test_against_values_of_the_binomial() -> None:
    assert sign_test(0, 0) == 1.0 and sign_test(3, 3) == 1.0
    assert sign_test(5, 0) == sign_test(0, 5) == 2 / 32
    assert sign_test(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 1024)

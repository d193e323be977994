"""Thresholds that keep a promise, on draws of rows whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from keras_seqzoo.metrics.decisions import (
    check_kept,
    coverage_curve,
    error_threshold,
    least_error,
    most_recall,
    named_thresholds,
    recall_threshold,
    threshold_of_all,
)


@pytest.mark.parametrize(("rows", "error", "level"), [(150, 0.1, 0.9), (60, 0.3, 0.8)])
def test_too_much_is_promised_as_seldom_as_said(rows: int, error: float, level: float) -> None:
    """Scores that tell nothing, of rows of just that error: the worst case, where all are tests."""
    rng = np.random.default_rng(0)
    draws = 1000
    promised = sum(
        error_threshold(rng.random(rows), rng.random(rows) < error, error, level) is not None
        for _ in range(draws)
    )
    low, high = binom.ppf([0.001, 0.999], draws, 1 - level)
    assert promised <= high
    assert promised > low / 2  # tests of whole numbers cannot spend all of it


def test_the_threshold_stands_where_errors_begin() -> None:
    scores = np.linspace(1, 0.5, 400).round(2)
    wrong = scores < 0.8
    found = error_threshold(scores, wrong, 0.05, 0.9)
    assert found is not None
    assert 0.78 <= found < 0.8  # between two scores, of which one is answered
    assert wrong[scores >= found].mean() < 0.05
    assert error_threshold(scores, wrong, 0.9, 0.9) == pytest.approx(0.25)  # all: half-way to 0
    assert error_threshold(scores, ~wrong, 0.05, 0.9) is None
    assert error_threshold(scores[:20], wrong[:20], 0.05, 0.9) is None  # too few rows
    assert error_threshold([], [], 0.05, 0.9) is None


def test_of_equal_scores_all_are_answered_or_none() -> None:
    scores, wrong = np.repeat([1.0, 0.9], 100), np.repeat([False, True], 100)
    assert error_threshold(scores, wrong, 0.05, 0.9) == pytest.approx(0.95)
    wrong[:60] = True
    assert error_threshold(scores, wrong, 0.05, 0.9) is None
    scores = np.repeat(np.array([1, np.nextafter(np.float32(1), np.float32(0))]), 100)
    assert error_threshold(scores, np.repeat([False, True], 100), 0.05, 0.9) == 1.0


def test_the_least_error_is_promised_and_none_below() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(500)
    wrong = rng.random(500) > scores
    least = least_error(scores, wrong, 0.9)
    assert least is not None
    assert error_threshold(scores, wrong, least, 0.9) is not None
    assert error_threshold(scores, wrong, least - 0.01, 0.9) is None
    assert least_error(scores, np.ones(500), 0.9) is None
    with pytest.raises(ValueError, match=f"the nearest is error={least:g}"):
        threshold_of_all(scores, wrong, 0.001, 0.9)
    with pytest.raises(ValueError, match="none promises any"):
        threshold_of_all(scores, np.ones(500), 0.5, 0.9)


@pytest.mark.parametrize("rows", [25, 200])
def test_recall_is_reached_as_often_as_promised(rows: int) -> None:
    rng = np.random.default_rng(0)
    found = [recall_threshold(rng.random(rows), 0.9, 0.9) for _ in range(400)]
    kept = np.mean([1 - np.float64(threshold) >= 0.9 for threshold in found if threshold])
    assert kept > 0.87
    assert recall_threshold(rng.random(10), 0.9, 0.9) is None
    most = most_recall(10, 0.9)
    assert recall_threshold(rng.random(10), most, 0.9) is not None
    assert recall_threshold(rng.random(10), most + 0.001, 0.9) is None
    assert most_recall(0, 0.9) == 0


def test_coverage_curve() -> None:
    curve = coverage_curve([0.9, 0.6, 0.8, 0.7], [False, True, False, True], [1.0, 0.75, 0.5, 0.1])
    assert curve.index.name == "coverage"
    assert curve["rows"].tolist() == [4, 3, 2, 1]
    assert curve["threshold"].tolist() == [0.6, 0.7, 0.8, 0.9]
    assert curve["error"].tolist() == [0.5, pytest.approx(1 / 3), 0, 0]


NAMES = ("ham", "spam")
TRUTH = np.array([[True, False], [False, True]] * 100)
OUTPUTS = np.where(TRUTH, 0.9, 0.1)


def test_what_is_wanted_of_names() -> None:
    found = named_thresholds(NAMES, TRUTH, OUTPUTS, {"spam": 0.95}, {"ham": 0.9}, 0.9)
    assert found == [pytest.approx(0.9), pytest.approx(0.5)]  # the share may fall between equals
    assert named_thresholds(NAMES, TRUTH, OUTPUTS, {}, {"ham": 0.9}, 0.9)[1] == 0


@pytest.mark.parametrize(
    ("precision", "recall", "message"),
    [
        ({"eggs": 0.9}, {}, r"one threshold.*Received: precision=\{'eggs': 0.9\} of 'ham', 'spam'"),
        ({"spam": 0.9}, {"spam": 0.9}, "A class or label has one threshold"),
        ({"spam": 1.0}, {}, "`precision` must be a number above 0 and below 1"),
        ({}, {"spam": "much"}, "`recall` must be a number above 0 and below 1"),
        ({"spam": 0.999}, {}, r"the nearest is precision=\{'spam': 0.975\}"),
        (
            {},
            {"spam": 0.99},
            r"the nearest is recall=\{'spam': 0.977\}.*100 of 200 rows are 'spam'",
        ),
    ],
)
def test_what_cannot_be_wanted(precision: dict, recall: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named_thresholds(NAMES, TRUTH, OUTPUTS, precision, recall, 0.9)


def test_classes_that_take_each_other_s_rows() -> None:
    given = TRUTH.copy()
    check_kept(NAMES, TRUTH, given, {"spam": 0.9}, {"ham": 0.9})
    given[::4] = [False, True]  # half of the ham
    with pytest.raises(ValueError, match=r"leaves 'ham' a recall of 0.500"):
        check_kept(NAMES, TRUTH, given, {}, {"ham": 0.9})
    with pytest.raises(ValueError, match=r"leaves 'spam' a precision of 0.667"):
        check_kept(NAMES, TRUTH, given, {"spam": 0.9}, {})

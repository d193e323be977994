"""Calibration, intervals and tests of differences hold what their sources say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, permutation_test
from sklearn.metrics import f1_score

from keras_seqzoo.metrics import statistics as metrics


@pytest.mark.parametrize(("classes", "bins"), [(2, 15), (4, 10), (50, 1)])
def test_calibration_error_is_the_paper_s_formula(classes: int, bins: int) -> None:
    rng = np.random.default_rng(classes)
    labels, probabilities = rng.integers(0, classes, 500), rng.dirichlet(np.ones(classes), 500)
    expected = 0.0
    for m in range(1, bins + 1):  # Guo et al. 2017: I_m = ((m - 1) / M, m / M]
        rows = [
            i for i in range(500) if (m - 1) / bins < probabilities[i].max() <= m / bins
        ]  # fmt: skip
        if rows:
            accuracy = sum(probabilities[i].argmax() == labels[i] for i in rows) / len(rows)
            confidence = sum(probabilities[i].max() for i in rows) / len(rows)
            expected += len(rows) / 500 * abs(accuracy - confidence)
    assert metrics.calibration_error(labels, probabilities, bins) == pytest.approx(
        expected, abs=1e-14
    )


def test_calibration_bins_tell_where_the_answers_are() -> None:
    bins = metrics.calibration_bins([0, 1, 1], [[0.5, 0.5], [0.2, 0.8], [0.7, 0.3]], bins=4)
    assert bins["low"].tolist() == [0, 0.25, 0.5, 0.75]
    assert bins["high"].tolist() == [0.25, 0.5, 0.75, 1]
    assert bins["rows"].tolist() == [0, 1, 1, 1], "a bin holds its upper edge"
    np.testing.assert_allclose(bins["confidence"], [np.nan, 0.5, 0.7, 0.8])
    np.testing.assert_array_equal(bins["accuracy"], [np.nan, 1, 0, 1])


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 120)
    runs = [np.where(rng.random(120) < 0.7, labels, rng.integers(0, 4, 120)) for _ in range(2)]
    plain = []
    for _ in range(500):
        rows = rng.integers(0, 120, 120)
        plain.append(
            (
                np.mean([np.mean(run[rows] == labels[rows]) for run in runs]),
                np.mean([f1_score(labels[rows], run[rows], average="macro") for run in runs]),
            )
        )
    found = metrics.intervals(labels, runs, 4, samples=3000)
    expected = np.quantile(plain, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found["accuracy"], expected[:, 0], atol=0.015)
    np.testing.assert_allclose(found["macro_f1"], expected[:, 1], atol=0.015)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_are_as_wide_as_the_level_says(level: float) -> None:
    labels = np.arange(1000) % 2
    predicted = np.where(np.arange(1000) % 10 < 8, labels, 1 - labels)
    low, high = metrics.intervals(labels, [predicted], 2, samples=5000, level=level)["accuracy"]
    error = np.sqrt(0.8 * 0.2 / 1000)  # of a binomial share, about normal at 1,000 rows
    assert high - low == pytest.approx(2 * norm.ppf((1 + level) / 2) * error, rel=0.08)
    assert (low + high) / 2 == pytest.approx(0.8, abs=0.1 * error)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(300):
        labels = rng.integers(0, 2, 150)
        predicted = np.where(rng.random(150) < 0.8, labels, 1 - labels)
        low, high = metrics.intervals(labels, [predicted], 2, samples=300, seed=seed)["accuracy"]
        held += low <= 0.8 <= high
    assert 0.90 <= held / 300 <= 0.99


def test_all_runs_and_models_are_drawn_the_same_rows() -> None:
    rng = np.random.default_rng(2)
    labels, predicted = rng.integers(0, 2, (2, 80))
    one = metrics.intervals(labels, [predicted], 2)
    assert metrics.intervals(labels, [predicted, predicted], 2) == one
    assert metrics.intervals(labels, [predicted], 2) == one
    assert metrics.intervals(labels, [predicted], 2, seed=1) != one
    # Right where the other is wrong: on the same rows the two add up to 1.
    low, high = metrics.intervals(labels, [1 - predicted], 2)["accuracy"]
    assert (1 - high, 1 - low) == pytest.approx(one["accuracy"])
    both = metrics.intervals(labels, [predicted, 1 - predicted], 2)["accuracy"]
    assert both == pytest.approx((0.5, 0.5))


def test_a_class_that_a_draw_lacks_does_not_count() -> None:
    labels = np.array([1] + [0] * 30)  # about a third of the draws are without the one row
    said = np.where(np.arange(31) == 5, 1, labels)
    assert metrics.intervals(labels, [said], 50)["macro_f1"][1] == 1


def test_intervals_of_degenerate_predictions() -> None:
    assert metrics.intervals([2], [[2], [0]], 3) == {
        "accuracy": (0.5, 0.5),
        "macro_f1": (0.5, 0.5),
    }
    found = metrics.intervals(np.repeat([0, 1], 50), [np.zeros(100, int)], 2)
    assert found["accuracy"][0] < 0.5 < found["accuracy"][1]
    assert found["macro_f1"][0] < f1_score([0, 1], [0, 0], average="macro") < found["macro_f1"][1]


def test_more_rows_than_fit_in_a_block() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 100_000)
    predicted = np.where(rng.random(100_000) < 0.9, labels, 1 - labels)
    low, high = metrics.intervals(labels, [predicted], 2, samples=150)["accuracy"]
    error = norm.ppf(0.975) * np.sqrt(0.9 * 0.1 / 100_000)
    assert high - low == pytest.approx(2 * error, rel=0.3)


@pytest.mark.parametrize(
    ("only_a", "only_b", "expected"),
    [
        (8, 2, 2 * (1 + 10 + 45) / 2**10),
        (2, 8, 2 * (1 + 10 + 45) / 2**10),
        (5, 0, 2 / 2**5),
        (3, 3, 1.0),
        (0, 0, 1.0),
        (1, 0, 1.0),
    ],
)
def test_mcnemar(only_a: int, only_b: int, expected: float) -> None:
    right_a = np.array([True] * only_a + [False] * only_b + [True, False] * 9)
    right_b = np.array([False] * only_a + [True] * only_b + [True, False] * 9)
    assert metrics.mcnemar(right_a, right_b) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        # Those of R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm").
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.9, 0.6], [1, 1]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.3], [0.3]),
        ([], []),
    ],
)
def test_holm(given: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(metrics.holm(given), expected, rtol=1e-12)


def test_accuracy_by_length_makes_even_groups() -> None:
    rng = np.random.default_rng(4)
    lengths = rng.permutation(1000)
    labels = rng.integers(0, 2, 1000)
    predicted = np.where(lengths < 200, labels, 1 - labels)
    frame = metrics.accuracy_by_length(labels, predicted, lengths)
    assert frame["rows"].tolist() == [200] * 5
    assert frame["accuracy"].tolist() == [1, 0, 0, 0, 0]
    assert frame[["low", "high"]].to_numpy().tolist()[:2] == [[0, 199], [200, 399]]
    # Wilson's interval of 200 of 200: from n / (n + z²) to 1.
    z = norm.ppf(0.975)
    assert frame.loc[0, ["low_ci", "high_ci"]].tolist() == pytest.approx([200 / (200 + z**2), 1])


def test_mean_by_length_has_the_groups_and_their_t_interval() -> None:
    values, lengths = np.arange(10.0), np.repeat([1, 9], [4, 6])
    found = metrics.mean_by_length(values, lengths, bins=2)
    assert found[["low", "high", "rows", "mean"]].to_numpy().tolist() == [
        [1, 1, 4, 1.5], [9, 9, 6, 6.5]
    ]  # fmt: skip
    # t of three degrees of freedom is 3.182; the standard error of 0, 1, 2, 3 is 0.6455.
    assert found["high_ci"][0] == pytest.approx(1.5 + 3.182 * 0.6455, abs=1e-3)
    assert found["low_ci"][0] == pytest.approx(1.5 - 3.182 * 0.6455, abs=1e-3)
    assert metrics.mean_by_length([1.0], [3])["low_ci"].isna().all()


def test_equal_lengths_stay_together() -> None:
    lengths = np.repeat([3, 4, 9], [80, 15, 5])
    right = np.arange(100) % 2
    frame = metrics.accuracy_by_length(np.ones(100, int), right, lengths)
    assert frame[["low", "high", "rows"]].to_numpy().tolist() == [[3, 3, 80], [4, 9, 20]]
    frame = metrics.accuracy_by_length([0, 1], [0, 0], [7, 7])
    assert frame[["low", "high", "rows"]].to_numpy().tolist() == [[7, 7, 2]]
    assert frame.loc[0, "low_ci"] < 0.5 < frame.loc[0, "high_ci"]
    assert len(metrics.accuracy_by_length([0], [0], [7])) == 1


def ok() -> Any:
    return np.array([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.calibration_bins([], np.zeros((0, 2))), "at least one row"),
        (lambda: metrics.calibration_bins([0], [0.5, 0.5]), r"\(2,\)"),
        (lambda: metrics.calibration_error(ok(), np.eye(2), bins=0), "`bins` must be"),
        (lambda: metrics.intervals([], [[]], 2), "at least one row"),
        (lambda: metrics.intervals(ok(), [], 2), "one run"),
        (lambda: metrics.intervals(ok(), [[0, 1, 1]], 2), r"\(1, 3\)"),
        (lambda: metrics.intervals(ok(), [[0, 2]], 2), "num_classes=2"),
        (lambda: metrics.intervals(ok(), [[0.5, 0.5]], 2), "whole numbers"),
        (lambda: metrics.intervals(ok(), [ok()], 2, samples=0), "samples=0"),
        (lambda: metrics.intervals(ok(), [ok()], 2, level=95), "level=95"),
        (lambda: metrics.mcnemar(ok(), ok()), "arrays of bool"),
        (lambda: metrics.mcnemar([True], [True, False]), r"\(1,\)"),
        (lambda: metrics.holm([0.5, 1.5]), "from 0 to 1"),
        (lambda: metrics.holm([float("nan")]), "nan"),
        (lambda: metrics.accuracy_by_length([], [], []), "at least one"),
        (lambda: metrics.accuracy_by_length(ok(), ok(), [1]), r"\(1,\)"),
        (lambda: metrics.accuracy_by_length(ok(), ok(), ok(), bins=0), "`bins` must be"),
    ],
)
def test_wrong_input_is_explained(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_results_are_frames_of_numbers() -> None:
    frame = metrics.accuracy_by_length([0, 1, 1], [0, 1, 0], [2, 5, 9], bins=2)
    assert all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)


def test_all_right_leaves_room_for_mistakes_that_were_not_seen() -> None:
    found = metrics.intervals([0, 1] * 25, [[0, 1] * 25], 2)
    # Wilson: 1 / (1 + z ** 2 / 50), z = 1.96.
    assert found["accuracy"] == pytest.approx((1 / (1 + 1.959964**2 / 50), 1))
    assert np.isnan(found["macro_f1"]).all()


def test_differences_that_are_right_or_wrong_are_mcnemars() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 60)) < [[0.8], [0.6]]
    assert metrics.paired_tests([a.astype(float) - b]) == [metrics.mcnemar(a, b)]
    assert metrics.paired_tests([np.zeros(9)]) == [1.0]


def test_other_differences_are_tested_as_scipy_does() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.normal(shift, 1, 40) for shift in (0.0, 0.2, 0.5, 2.0)]
    found = metrics.paired_tests(rows)
    for row, p_value in zip(rows, found, strict=True):
        expected = permutation_test(
            (row,), np.mean, permutation_type="samples", n_resamples=9999, random_state=2
        ).pvalue
        assert p_value == pytest.approx(expected, abs=0.015)
    assert found[3] == pytest.approx(1e-4)
    # Neither the order of the pairs nor the company they are in changes one.
    np.testing.assert_array_equal(metrics.paired_tests(rows[::-1]), found[::-1])
    assert metrics.paired_tests([rows[2], np.eye(40)[0]])[0] == found[2]


def test_differences_of_few_rows_are_tested_nearly_exactly() -> None:
    # Of the 2 ** 4 signs, two are as far from 0.
    assert metrics.paired_tests([[1.5, 2, 3, 4]])[0] == pytest.approx(2 / 16, abs=0.02)
    assert metrics.paired_tests([[0.5, -0.5]])[0] == 1


class TestBlocks:
    def test_blocks_are_long_and_whole(self):
        blocks = metrics.blocks_in_time(np.arange(100), 3)
        assert np.bincount(blocks).tolist() == [7] * 13 + [9]
        assert np.bincount(metrics.blocks_in_time(np.arange(100), 12)).tolist() == [24] * 3 + [28]
        assert metrics.blocks_in_time(np.arange(5), 12).tolist() == [0] * 5
        # Several series at the same times share blocks, in whatever order.
        times = np.tile(np.arange(40), 2)
        shuffled = np.random.default_rng(0).permutation(80)
        expected = metrics.blocks_in_time(times, 2)
        assert (expected[:40] == expected[40:]).all()
        assert (metrics.blocks_in_time(times[shuffled], 2) == expected[shuffled]).all()

    def test_windows_that_overlap_are_no_evidence_by_themselves(self):
        """Moving sums of noise differ by chance as often as they should, by block; not by row."""
        rng, horizon = np.random.default_rng(0), 7
        noise = np.cumsum(rng.normal(size=(400, 400 + horizon)), axis=1)
        sums = noise[:, horizon:] - noise[:, :-horizon]
        blocks = metrics.blocks_in_time(np.arange(400), horizon)
        by_block = metrics.paired_tests(list(sums), 499, blocks=blocks)
        by_row = metrics.paired_tests(list(sums), 499)
        assert (by_block < 0.05).mean() < 0.1
        assert (by_row < 0.05).mean() > 0.3
        covers = [
            low <= 0 <= high
            for row in sums[:100]
            for low, high in [
                metrics.bootstrap(
                    lambda w, row=row: {"mean": w @ row / w.sum(axis=1)}, 400, 400, blocks=blocks
                )["mean"]
            ]
        ]
        assert np.mean(covers) > 0.88

    def test_few_blocks_show_nothing(self):
        blocks = np.repeat([0, 1, 2, 3], 10)
        assert metrics.paired_tests([np.ones(40) * 1.5], blocks=blocks)[0] > 0.1
        labels = np.arange(40) % 2
        found = metrics.intervals(labels, [labels], 2, blocks=blocks)
        assert np.isnan([*found["accuracy"], *found["macro_f1"]]).all()

    def test_a_difference_in_all_blocks_is_shown(self):
        blocks = np.repeat(np.arange(12), 5)
        better = np.random.default_rng(0).normal(1, 0.5, 60)
        assert metrics.paired_tests([better], blocks=blocks)[0] < 0.01


def test_the_temperature_of_least_log_loss() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 3)) * 2
    labels = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)  # as sure as their softmax

    def softmax(values: Any) -> Any:
        return np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)

    for sharper in (0.5, 1, 4):
        found = metrics.best_temperature(labels, softmax(scores * sharper))
        assert found == pytest.approx(sharper, rel=0.1)
    assert metrics.best_temperature(np.eye(3)[labels], softmax(scores)) == pytest.approx(1, rel=0.1)
    few = metrics.best_temperature([0, 1], [[0.9, 0.1], [0.1, 0.9]])
    assert 0.5 < few < 1  # two rows that are right make no model certain

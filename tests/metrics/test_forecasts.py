"""MAE, RMSE and MASE by column and step, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from keras_seqzoo.metrics.forecasts import forecast_errors, naive_scale


class TestErrors:
    def test_as_scikit_learn(self):
        truth, forecasts = np.random.default_rng(0).normal(size=(2, 50, 3, 2))
        errors = forecast_errors(truth, forecasts, np.array([2.0, 0.5]), ["a", "b"])
        assert errors.index.tolist() == [(c, s) for c in "ab" for s in (1, 2, 3, "all")]
        for column, name, scale in ((0, "a", 2.0), (1, "b", 0.5)):
            for step in (1, 2, 3, "all"):
                at = slice(None) if step == "all" else slice(step - 1, step)
                pair = truth[:, at, column].ravel(), forecasts[:, at, column].ravel()
                row = errors.loc[(name, step)]
                assert row["mae"] == pytest.approx(mean_absolute_error(*pair))
                assert row["rmse"] == pytest.approx(root_mean_squared_error(*pair))
                assert row["mase"] == pytest.approx(mean_absolute_error(*pair) / scale)

    def test_a_scale_for_each_row(self):
        truth, forecasts = np.zeros((2, 1, 1)), np.array([[[1.0]], [[10.0]]])
        errors = forecast_errors(truth, forecasts, np.array([[[1.0]], [[10.0]]]))
        assert errors.loc[("0", "all"), "mase"] == 1

    @pytest.mark.parametrize(
        ("truth", "forecasts", "message"),
        [
            (np.zeros((2, 3)), np.zeros((2, 3)), r"shape.*horizon, columns.*\(2, 3\)"),
            (np.zeros((2, 3, 1)), np.zeros((2, 1, 1)), r"forecasts of shape \(2, 1, 1\)"),
            (np.zeros((0, 3, 1)), np.zeros((0, 3, 1)), "at least one row"),
            (np.full((1, 1, 1), np.nan), np.zeros((1, 1, 1)), "must be finite.*1 such values of"),
        ],
    )
    def test_refused(self, truth, forecasts, message):
        with pytest.raises(ValueError, match=message):
            forecast_errors(truth, forecasts, np.ones(1))


class TestScale:
    def test_naive_and_seasonal(self):
        series = np.array([1.0, 3, 2, 6])[:, None]
        assert naive_scale([series]).tolist() == [7 / 3]
        assert naive_scale([series], season=2).tolist() == [2.0]

    def test_several_series_with_gaps(self):
        one, two = np.array([[1.0], [2], [np.nan], [4]]), np.array([[0.0], [5], [5]])
        assert naive_scale([one, two]).tolist() == [2.0]  # (1 + 5 + 0) / 3

    @pytest.mark.parametrize(
        ("series", "season"), [([1.0, 1, 1], 1), ([1.0, 2, 1, 2], 2), ([1.0], 3)]
    )
    def test_no_change(self, series, season):
        with pytest.raises(
            ValueError, match=rf"must not be 0.*season={season}, mean changes \[0\.0\]"
        ):
            naive_scale([np.array(series)[:, None]], season)
        with pytest.raises(ValueError, match="`season` must be a whole number"):
            naive_scale([np.array(series)[:, None]], 0)

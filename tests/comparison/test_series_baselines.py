"""Last value, season before and ridge regression: what forecasts must beat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.comparison.series_baselines import SERIES_BASELINES, LastValue, Ridge, Seasonal
from keras_seqzoo.data.series import read_series
from keras_seqzoo.metrics.forecasts import forecast_errors, naive_scale


def table_of(values, window, horizon, **columns):
    times = pd.date_range("2024-01-01", periods=len(values), freq="D")
    frame = pd.DataFrame({"Date": times, "Close": values, **columns})
    return read_series(frame, value=["Close", *columns], window=window, horizon=horizon)


@pytest.fixture
def weekly():
    """A week that repeats itself exactly, beside a ramp."""
    return table_of(np.tile([0.0, 1, 5, 2, 9, 3, 4], 30), 10, 9, ramp=np.arange(210.0))


class TestForecasts:
    def test_last_value(self, weekly):
        model = LastValue()
        model.fit(weekly)
        answers = model.predict(weekly)
        assert answers.shape == (len(weekly), 9, 2)
        assert (answers == weekly.windows()[:, -1:]).all()

    def test_seasonal(self, weekly):
        model = Seasonal()
        model.fit(weekly)
        assert model.seasons == [(7, "calendar"), (1, "none")]
        for x in (weekly, weekly.windows()):  # beyond one season, the one before the first is taken
            assert np.array_equal(model.predict(x)[..., 0], weekly.labels[..., 0])
            assert np.array_equal(model.predict(x)[..., 1], last_values(weekly)[..., 1])

    def test_seasons_that_are_longer_than_a_window(self):
        table = table_of(np.tile([0.0, 1, 5, 2, 9, 3, 4], 30), 3, 2)
        model = Seasonal()
        model.fit(table)
        assert np.array_equal(model.predict(table)[4:], table.labels[4:])
        assert (model.predict(table)[0] == 5).all()  # nothing a week before: the last value
        with pytest.raises(ValueError, match=r"windows of at least 7 steps.*windows of 3 steps"):
            model.predict(table.windows())

    def test_ridge(self):
        noise = np.random.default_rng(0)
        values = [0.0, 0.0]
        for _ in range(300):
            values.append(1.6 * values[-1] - 0.9 * values[-2] + noise.normal())
        train, _, test = table_of(values, 4, 3).split(0, 0.3)
        scale, mase = naive_scale(train.covered.values()), {}
        for name, kind in SERIES_BASELINES.items():
            model = kind()
            model.fit(train)
            errors = forecast_errors(test.labels, model.predict(test), scale)
            mase[name] = errors.loc[("0", "all"), "mase"]
        assert mase["ridge"] < 0.8 * min(mase["last_value"], mase["seasonal"])

    @pytest.mark.parametrize("kind", SERIES_BASELINES.values())
    def test_no_rows(self, kind, weekly):
        model = kind()
        model.fit(weekly)
        assert model.predict(weekly.take([])).shape == (0, 9, 2)
        assert model.size_mb() > 0

    def test_weights(self, weekly):
        model = Ridge()
        model.fit(weekly)
        assert model.count_params() == 10 * 2 * 9 * 2 + 9 * 2
        assert LastValue().count_params() == 0


def last_values(table):
    model = LastValue()
    model.fit(table)
    return model.predict(table)

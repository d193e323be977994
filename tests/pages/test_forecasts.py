"""Figures of forecasts: what they show is what was forecast."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seqzoo.metrics.forecasts import forecast_errors
from keras_seqzoo.pages.drawing import inline_svg
from keras_seqzoo.pages.forecasts import errors_by_step, forecast_frame, forecasts

LABELS = np.arange(24.0).reshape(4, 3, 2)


def test_frame():
    times = np.array(["2024-01-01", "2024-01-02", "2024-01-03"], "M8[D]") + np.arange(4)[:, None]
    frame = forecast_frame(LABELS, LABELS + 1, times, column=1, step=2)
    assert frame["truth"].tolist() == [3, 9, 15, 21]
    assert frame["forecast"].tolist() == [4, 10, 16, 22]
    assert str(frame["time"][0])[:10] == "2024-01-02"
    assert forecast_frame(LABELS, LABELS)["time"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("horizon", "titles"), [(3, ["1 step ahead", "3 steps ahead"]), (1, ["1 step ahead"])]
)
def test_truth_and_forecast_are_drawn(horizon, titles):
    labels = np.random.default_rng(0).normal(size=(400, horizon, 2))
    figure = forecasts(labels, labels + 1, "Close & co", column=1)
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles
    truth, forecast = figure.axes[-1].get_lines()
    assert truth.get_ydata() == pytest.approx(labels[-250:, -1, 1])
    assert forecast.get_ydata() == pytest.approx(labels[-250:, -1, 1] + 1)
    assert "Close &amp; co" in inline_svg(figure, "f", "told")


def test_errors_by_step():
    errors = {
        name: forecast_errors(LABELS, LABELS + shift, [1.0, 2.0], ["a", "b"])
        for name, shift in (("near", 1), ("far", 4))
    }
    (axes,) = errors_by_step(errors, "b").axes
    near, far, _ = axes.get_lines()
    assert near.get_ydata().tolist() == [0.5] * 3
    assert far.get_ydata().tolist() == [2.0] * 3
    assert near.get_xdata().tolist() == [1, 2, 3]

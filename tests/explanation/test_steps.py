"""Explanations over the steps of a window, of models whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.data.series import read_series
from keras_seqzoo.data.targets import Future
from keras_seqzoo.explanation.explain import explain
from keras_seqzoo.explanation.steps import explain_steps
from keras_seqzoo.tasks.forecast import Forecast


class Linear:
    """Forecasts 2 · the last Close + 3 · the first Volume, two steps of both columns."""

    task = Forecast(Future(("Close", "Volume"), 2), (1.0, 1.0))

    def predict(self, x, batch_size=None, verbose=0):
        answer = 2 * x[:, -1, 0] + 3 * x[:, 0, 1]
        return np.repeat(np.stack([answer, -answer], axis=1)[:, None], 2, axis=1)


@pytest.fixture
def table():
    steps = np.arange(12.0)
    frame = pd.DataFrame(
        {"Date": pd.date_range("2024-01-01", periods=12), "Close": steps, "Volume": steps**2}
    )
    return read_series(frame, value=["Close", "Volume"], window=4, horizon=2)


@pytest.mark.parametrize(("target", "sign"), [(None, 1), ("Close", 1), ("Volume", -1)])
def test_scores_are_what_the_answer_falls_by(table, target, sign):
    first, second = explain_steps(Linear(), table.take([2, 5]), target)
    values = table.windows([2])[0]
    mean = values.mean(axis=0)
    expected = np.zeros((4, 2))
    expected[-1, 0] = sign * 2 * (values[-1, 0] - mean[0])
    expected[0, 1] = sign * 3 * (values[0, 1] - mean[1])
    assert first.scores == pytest.approx(expected)
    assert first.answer == pytest.approx(sign * (2 * values[-1, 0] + 3 * values[0, 1]))
    assert first.target == (target or "Close")
    assert second.values.tolist() == table.windows([5])[0].tolist()


def test_fill_with_the_last_value(table):
    (found,) = explain_steps(Linear(), table.windows([0]), fill="last")
    assert found.scores[-1, 0] == 0
    assert found.scores[0, 1] == pytest.approx(3 * (0 - 9))
    assert found.columns == ("0", "1")


def test_shown(table):
    (found,) = explain_steps(Linear(), table.take([0]))
    frame = found.to_frame()
    assert frame["step"].tolist() == [-3, -3, -2, -2, -1, -1, 0, 0]
    assert str(frame["time"].iloc[-1])[:10] == "2024-01-04"
    assert str(found).startswith(
        "Close: 6; by how much it falls where a value is the window's mean"
    )


def test_explain_says_where_to_go(table):
    with pytest.raises(TypeError, match=r"steps, not words\. Use explain_steps.*SeriesTable"):
        explain(Linear(), table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "Clse"}, r"what the model answers\. Did you mean 'Close'\? Received"),
        ({"fill": "zero"}, r"`fill` must be one of \('mean', 'last'\).*'zero'"),
        ({"batch_size": 0}, "`batch_size` must be a whole number"),
    ],
)
def test_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        explain_steps(Linear(), table, **options)
    with pytest.raises(TypeError, match=r"must answer windows.*Received: object"):
        explain_steps(object(), table)
    with pytest.raises(ValueError, match="at least one window"):
        explain_steps(Linear(), table.take([]))

"""Windows of numbers: missing values, one scale, and the way back to the unit."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.data.series import read_series
from keras_seqzoo.preprocessing.windows import Windows

NAN = np.nan


@pytest.fixture
def table():
    days = pd.date_range("2024-01-01", periods=40)
    values = np.concatenate([np.tile([1.0, 3.0], 10), np.full(20, 1000.0) + np.arange(20)])
    frame = pd.DataFrame({"Date": days, "Close": values, "Volume": values * 1e6})
    return read_series(frame, value=["Close", "Volume"], window=4, horizon=1)


def test_statistics_are_those_of_the_training_part(table):
    train, _, _ = table.split(valid=0, test=20)
    windows = Windows.learn(train, "training")
    assert windows.mean == (2.0, 2e6)
    assert windows.std == (1.0, 1e6)
    assert windows(train.windows([0])).numpy()[0].tolist() == [[-1, -1], [1, 1], [-1, -1], [1, 1]]


def test_each_window_has_its_own_scale(table):
    windows = Windows.learn(table, "window")
    made = windows(table.windows()).numpy()
    assert np.abs(made.mean(axis=1)).max() < 1e-3
    assert made[0, :, 0].tolist() == [-1, 1, -1, 1]
    flat = Windows(["a"], 3, [0.0], [10.0], "window")(np.array([[[5.0], [5], [5]]]))
    assert flat.numpy().ravel().tolist() == [0, 0, 0]


@pytest.mark.parametrize("scale", ["window", "training"])
def test_answers_go_back_to_the_unit(table, scale):
    windows = Windows.learn(table, scale)
    values = table.windows()
    normal = windows(values).numpy()
    answers = windows(values, answers=normal - normal[:, -1:]).numpy()
    assert answers == pytest.approx(values, rel=1e-4)
    still = windows(values, answers=np.zeros((len(values), 2, 2))).numpy()
    assert np.array_equal(still, np.repeat(values[:, -1:], 2, axis=1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1, NAN, NAN, 4], [1, 1, 1, 4]),
        ([NAN, NAN, 3, NAN], [3, 3, 3, 3]),
        ([np.inf, 2, -np.inf, NAN], [2, 2, 2, 2]),
        ([NAN] * 4, [7] * 4),
    ],
)
def test_missing_values(given, expected):
    windows = Windows(["a"], 4, [7.0], [1.0], "training")
    made = windows(np.array(given, np.float32)[None, :, None])
    assert (made.numpy().ravel() + 7).tolist() == expected


def test_config():
    windows = Windows(["a"], 4, [7.0], [1.0], "training")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(windows))
    assert again.fingerprint() == windows.fingerprint()
    assert again.fingerprint() != Windows(["a"], 4, [7.0], [2.0], "training").fingerprint()
    assert again(np.zeros((1, 4, 1))).numpy().ravel().tolist() == [-7] * 4


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.zeros((3, 4, 2)), ValueError, r"\(rows, 4, 1\): steps of a\..*shape \(3, 4, 2\)"),
        (np.zeros((4, 1)), ValueError, r"values\[None\]"),
        (["words"], TypeError, r"Pass an array of floats.*\['words'\] of type list"),
    ],
)
def test_refused_windows(given, error, message):
    with pytest.raises(error, match=message):
        Windows(["a"], 4, [7.0], [1.0]).as_inputs(given)


def test_refused_statistics(table):
    with pytest.raises(ValueError, match=r"`scale` must be one of.*scale='row'"):
        Windows.learn(table, "row")
    with pytest.raises(ValueError, match="learnt from windows"):
        Windows.learn(table.take([]))
    frame = pd.DataFrame({"Date": range(20), "Close": [1.0] * 15 + [2.0] * 5})
    train, _, _ = read_series(frame, window=4, horizon=1).split(0, 6)
    with pytest.raises(ValueError, match=r"must change in the training part.*\[0\.0\]"):
        Windows.learn(train)

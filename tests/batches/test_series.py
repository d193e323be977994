"""Batches of windows: all of them, in order or shuffled, of these windows alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.batches.passes import Share
from keras_seqzoo.batches.series import series_batches
from keras_seqzoo.data.series import read_series


@pytest.fixture
def table():
    days = pd.date_range("2024-01-01", periods=30)
    frame = pd.DataFrame(
        {
            "Date": [*days, *days],
            "Close": np.arange(60.0),
            "key": ["a"] * 30 + ["b"] * 30,
        }
    )
    return read_series(frame, window=4, horizon=2, key="key").split(0, 3)[0]


def rows_of(dataset):
    batches = list(dataset.as_numpy_iterator())
    return (
        np.concatenate([features["values"] for features, _ in batches]),
        np.concatenate([labels for _, labels in batches]),
    )


def test_in_order(table):
    dataset = series_batches(table, 7, shuffle=False, seed=None)
    values, labels = rows_of(dataset)
    assert np.array_equal(values, table.windows())
    assert np.array_equal(labels, table.labels)
    assert len(dataset) == -(-len(table) // 7)


def test_shuffled_anew_and_again_by_seed(table):
    dataset = series_batches(table, 7, shuffle=True, seed=3)
    (first, labels), (second, _) = rows_of(dataset), rows_of(dataset)
    assert not np.array_equal(first, second)
    assert sorted(first[:, 0, 0]) == sorted(table.windows()[:, 0, 0])  # no other windows
    assert np.array_equal(labels[:, 0], first[:, -1] + 1)
    again, _ = rows_of(series_batches(table, 7, shuffle=True, seed=3))
    assert np.array_equal(again, first)


def test_a_pass_is_taken_up_and_shared_out(table):
    passes = series_batches(table, 8, shuffle=True, seed=3).passes
    whole = [x["values"].numpy() for x, _ in passes.stream(0).take(6)]
    rest = [x["values"].numpy() for x, _ in passes.stream(4).take(2)]
    assert np.array_equal(whole[4], rest[0])
    assert np.array_equal(whole[5], rest[1])
    shares = [next(iter(passes.stream(0, Share(i, 1, 2))))[0]["values"].numpy() for i in (0, 1)]
    assert np.array_equal(np.concatenate(shares), whole[0])

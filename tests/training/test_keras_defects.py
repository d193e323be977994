"""Shows in plain Keras what `keras_defects` gets round; a test that fails here is good news.

Then the constant of that defect takes the version of Keras that mended it, and once the package
needs that version at least, the workaround goes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from two_workers_launch import launch

import keras_seqzoo as sz
from keras_seqzoo.training import keras_defects


@pytest.fixture(scope="module")
def raised() -> dict[str, str]:
    """What plain Keras raised in two workers."""
    done = launch(sys.executable, Path(__file__).with_name("plain_keras.py"))
    lines = [line for line in done.stdout.splitlines() if "] {" in line]
    assert len(lines) == 2, done.stderr[-2000:]
    return json.loads(lines[0].partition("] ")[2])


def test_plain_keras_gives_a_per_replica_batch_to_tensors(raised: dict[str, str]) -> None:
    assert keras_defects.is_present(keras_defects.PER_REPLICA_BATCH_MENDED)
    assert "PerReplica" in raised["batch"]


def test_plain_keras_reduces_scalars_over_an_axis(raised: dict[str, str]) -> None:
    assert keras_defects.is_present(keras_defects.SCALAR_REDUCTION_MENDED)
    assert raised["scalars"]


def train(strategy: Any, rows: int = 8, **optimizer: Any) -> np.ndarray:
    """Weights of a plain Keras model after steps on rows that pull in different directions."""
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")]
        )
        model.compile(keras.optimizers.SGD(0.1, **optimizer), "mse", jit_compile=False)
    x = np.arange(2.0 * rows).reshape(rows, 2) / rows
    x[::2, 0] *= -1
    data = tf.data.Dataset.from_tensor_slices((x, np.ones((rows, 1)))).batch(4)
    model.fit(data, epochs=2, verbose=0)
    return np.concatenate([keras.ops.convert_to_numpy(w).ravel() for w in model.weights])


def both(**options: Any) -> tuple[np.ndarray, np.ndarray]:
    two = sz.distribution("mirrored", devices=["CPU:0", "CPU:1"], verbose=False)
    return train(sz.distribution("one_device", verbose=False), **options), train(two, **options)


@pytest.mark.slow
def test_plain_keras_agrees_where_there_is_nothing_to_go_wrong() -> None:
    np.testing.assert_allclose(*both(), rtol=1e-5)


def test_plain_keras_clips_before_it_sums() -> None:
    assert keras_defects.is_present(keras_defects.CLIP_BEFORE_SUM_MENDED)
    alone, two = both(global_clipnorm=0.1)
    assert np.abs(alone - two).max() > 1e-3


def test_plain_keras_takes_the_mean_of_means() -> None:
    """The last batch has three rows, two for one replica and one for the other."""
    assert keras_defects.is_present(keras_defects.MEAN_OF_MEANS_MENDED)
    alone, two = both(rows=7)
    assert np.abs(alone - two).max() > 1e-3


def test_plain_keras_can_not_accumulate() -> None:
    assert keras_defects.is_present(keras_defects.ACCUMULATION_MENDED)
    with pytest.raises(Exception, match="merge_call"):
        both(gradient_accumulation_steps=2)


@pytest.mark.parametrize(("mended", "present"), [(None, True), ("99.0", True), ("3.0", False)])
def test_workarounds_end_with_the_version_that_mends(mended: Any, present: bool) -> None:
    assert keras_defects.is_present(mended) is present

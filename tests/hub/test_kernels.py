"""Functions with written gradients: those that TensorFlow would find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.hub.kernels import attend, drop

SHAPE = (3, 2, 5, 4)  # texts, heads, tokens, width
SEED = [1, 2]


def plain(queries: Any, keys: Any, values: Any, masked: Any, rate: float) -> Any:
    shares = tf.nn.softmax(tf.matmul(queries, keys, transpose_b=True) + masked)
    return tf.matmul(drop(shares, rate, SEED) if rate else shares, values)


@pytest.mark.parametrize("rows", [None, 0, 1, 4, 100])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_attention_in_blocks_is_attention(rows: int | None, rate: float) -> None:
    rng = np.random.default_rng(0)
    given = [tf.constant(rng.normal(size=SHAPE), tf.float32) for _ in range(3)]
    weights = tf.constant(rng.normal(size=SHAPE), tf.float32)
    real = np.arange(5) < np.array([[5], [3], [1]])
    masked = tf.constant(-1e4 * ~real[:, None, None], tf.float32)
    found = []
    for ours in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(given)
            if ours:
                means = attend(*given, masked, rate, SEED if rate else None, rows)
            else:
                means = plain(*given, masked, rate)
            loss = tf.reduce_sum(means * weights)
        found.append([means, *tape.gradient(loss, given)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.25, 0.9])
def test_dropout_leaves_the_mean_and_drops_the_share(rate: float) -> None:
    values = tf.ones([999, 633])
    with tf.GradientTape() as tape:
        tape.watch(values)
        dropped = drop(values, rate, SEED)
    np.testing.assert_array_equal(tape.gradient(dropped, values), dropped)
    found = dropped.numpy()
    assert len(np.unique(found)) == 2
    assert np.mean(found == 0) == pytest.approx(rate, rel=0.04)
    assert np.mean(found) == pytest.approx(1, abs=0.04)
    assert np.mean(found[:, 1:] * found[:, :-1]) == pytest.approx(1, abs=0.05)


def test_a_rate_next_to_one_keeps_some() -> None:
    found = drop(tf.ones([999, 633]), 0.999, SEED).numpy()
    assert np.mean(found > 0) == pytest.approx(0.001, rel=0.2)

"""Adam by rows: what a batch does not have stays, what it has moves as under Adam."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.training.optimizers import RowAdam, TransformerAdamW

TABLE = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def trained(optimizer: Any, ids: list[int], whole: bool = False, jit: bool = False) -> Any:
    embedding = keras.layers.Embedding(6, 3)
    embedding.build(None)
    embedding.embeddings.assign(TABLE)
    optimizer.build(embedding.trainable_weights)

    @tf.function(jit_compile=jit)
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(embedding(tf.constant([ids])) ** 2)
        gradients = tape.gradient(loss, embedding.trainable_weights)
        optimizer.apply([tf.convert_to_tensor(g) if whole else g for g in gradients])

    for _ in range(4):
        step()
    return embedding.embeddings.numpy()


@pytest.mark.parametrize("jit", [False, True])
def test_rows_move_as_under_adam(jit: bool) -> None:
    ids = [5, 0, 1, 2, 3, 4, 5, 1, 5]
    by_rows = trained(RowAdam(0.1, row_clipnorm=1.0), ids, jit=jit)
    np.testing.assert_allclose(
        by_rows, trained(keras.optimizers.Adam(0.1, clipnorm=1.0), ids, whole=True), atol=1e-6
    )
    # TensorFlow's operation has 1 - 0.999 in float32: a step is 0.002 % off.
    np.testing.assert_allclose(by_rows, trained(RowAdam(0.1), ids, whole=True), atol=1e-5)


@pytest.mark.parametrize("whole", [False, True])
def test_fine_tuning_moves_as_under_adamw(whole: bool) -> None:
    ids = [5, 0, 1, 2, 3, 4, 5, 1, 5]
    ours = TransformerAdamW(0.1, weight_decay=0.3, epsilon=1e-7)
    theirs = keras.optimizers.AdamW(0.1, weight_decay=0.3, global_clipnorm=1.0)
    np.testing.assert_allclose(
        trained(ours, ids, whole), trained(theirs, ids, whole=True), atol=1e-5
    )
    untouched = trained(TransformerAdamW(0.1, weight_decay=0.3), [4, 2, 4], whole)[[0, 1, 3, 5]]
    assert np.array_equal(untouched, TABLE[[0, 1, 3, 5]]) == (not whole)


def test_the_norm_of_all_gradients_is_clipped() -> None:
    optimizer = TransformerAdamW(0.1, global_clipnorm=2.0)
    twice = tf.IndexedSlices(tf.constant([[3.0], [3.0]]), tf.constant([1, 1]), tf.constant([3, 1]))
    rows, other = optimizer._clip_gradients([twice, tf.constant([8.0])])
    np.testing.assert_allclose(tf.convert_to_tensor(rows), [[0], [1.2], [0]], rtol=1e-6)
    np.testing.assert_allclose(other, [1.6], rtol=1e-6)


def test_other_rows_and_their_moments_stay() -> None:
    optimizer = RowAdam(0.1)
    after = trained(optimizer, [4, 2, 4])
    np.testing.assert_array_equal(after[[0, 1, 3, 5]], TABLE[[0, 1, 3, 5]])
    assert (after[[2, 4]] != TABLE[[2, 4]]).all()
    for moments in optimizer.variables[2:]:
        assert (np.any(moments.numpy() != 0, axis=1) == [0, 0, 1, 0, 1, 0]).all()


def test_its_config_makes_it_again() -> None:
    again = keras.optimizers.deserialize(keras.optimizers.serialize(RowAdam(0.2, 3.0)))
    assert isinstance(again, RowAdam)
    assert (again.row_clipnorm, float(again.learning_rate)) == (3.0, pytest.approx(0.2))

"""A linear model of words and pairs of neighbours, whose scores stand beside a network's."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

_FIRST_WORD = 2  # after padding and the unknown word


@keras.saving.register_keras_serializable("keras_seqzoo")
class WideScores(keras.layers.Layer):
    """Adds the scores of a linear model to those of a network, times a share.

    Wide and deep (Cheng et al. 2016, Wide & Deep Learning for Recommender Systems), but fitted one
    after the other: a text's words and pairs of neighbours, each counted as (1 + ln count) · idf
    and the whole divided by its length, as scikit-learn's `TfidfVectorizer(ngram_range=(1, 2),
    sublinear_tf=True)` has it. Words are known by id, pairs by a hash. What is learnt of either is
    set from outside, see `tasks.wide`; no gradient reaches it, and in training it is left out.

    Args:
        vocabulary_size: of the ids of words.
        buckets: places for pairs.
        **kwargs: arguments of `keras.layers.Layer`.

    Attributes:
        idf: float32 `(vocabulary_size + buckets,)`, 0 for what the training texts lack.
        kernel: float32 `(vocabulary_size + buckets, classes)`.
        bias: float32 `(classes,)`.
        share: float32 scalar, 0 at first: by what the scores are multiplied.
    """

    def __init__(self, vocabulary_size: int, buckets: int, **kwargs: Any):
        super().__init__(dtype="float32", **{k: v for k, v in kwargs.items() if k != "dtype"})
        self.vocabulary_size = vocabulary_size
        self.buckets = buckets

    def build(self, scores_shape: tuple[int | None, ...], token_ids_shape: Any = None) -> None:
        """Makes the weights."""
        rows, names = self.vocabulary_size + self.buckets, scores_shape[-1]
        shapes = {"idf": (rows,), "kernel": (rows, names), "bias": (names,), "share": ()}
        for name, shape in shapes.items():
            weight = self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
            setattr(self, name, weight)

    def call(self, scores: Any, token_ids: Any, training: bool | None = None) -> Any:
        """Computes `(batch, classes)` of the same and int32 `(batch, length)`."""
        if training:
            return scores
        share = self.share.value
        # What counts nothing costs nothing.
        return tf.cond(share > 0, lambda: scores + share * self.scores(token_ids), lambda: scores)

    def scores(self, token_ids: Any) -> Any:
        """Scores of the linear model alone, `(batch, classes)`."""
        places, counts = self.counted(token_ids)
        weights = tf.math.log(tf.maximum(counts, 1)) + 1
        weights *= tf.gather(self.idf.value, places)
        weights = tf.where(counts > 0, weights, 0.0)
        weights = tf.math.l2_normalize(weights, axis=1)
        kernel = tf.gather(self.kernel.value, places)
        return tf.einsum("bn,bnc->bc", weights, kernel) + self.bias

    def counted(self, token_ids: Any) -> tuple[Any, Any]:
        """What a text holds, and how often.

        Args:
            token_ids: int32 `(batch, length)`.

        Returns:
            Int32 and float32 `(batch, n)`: places in `kernel`, and counts, which are 0 where a
            place stands for nothing.
        """
        first, second = token_ids[:, :-1], token_ids[:, 1:]
        # Two odd numbers of 32 bits mix the ids; the remainder by a prime keeps all bits in play.
        # Tables have the products, which OpenVINO would compute with 32 bits.
        ids = np.arange(self.vocabulary_size)
        mixed, other = (
            tf.gather(tf.constant(ids * odd % self.buckets, tf.int32), side)
            for odd, side in ((2_654_435_761, first), (2_246_822_519, second))
        )
        is_pair = (first >= _FIRST_WORD) & (second >= _FIRST_WORD)
        words = tf.where(token_ids >= _FIRST_WORD, token_ids, 0)
        pairs = tf.where(is_pair, (mixed + other) % self.buckets + self.vocabulary_size, 0)
        places = tf.sort(tf.concat([words, pairs], axis=1), axis=1)
        # Equal places are neighbours now: each is counted where it comes first.
        rows, width = tf.unstack(tf.shape(places))
        is_new = tf.concat([tf.ones([rows, 1], tf.bool), places[:, 1:] != places[:, :-1]], axis=1)
        runs = tf.cumsum(tf.cast(is_new, tf.int32), axis=1) - 1 + width * tf.range(rows)[:, None]
        lengths = tf.math.unsorted_segment_sum(
            tf.ones([rows * width]), tf.reshape(runs, [-1]), rows * width
        )
        counts = tf.where(is_new & (places > 0), tf.gather(lengths, runs), 0.0)
        return places, counts

    def compute_output_shape(self, scores_shape: Any, *_: Any) -> Any:
        """That of the scores."""
        return scores_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        sizes = {"vocabulary_size": self.vocabulary_size, "buckets": self.buckets}
        return {**super().get_config(), **sizes}

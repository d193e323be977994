"""A linear model of words and pairs of neighbours, whose scores are added to a network's."""

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
    after the other. A text's words and pairs of neighbours count as (1 + ln count) · idf each, and
    the whole is divided by its length, like scikit-learn's `TfidfVectorizer(ngram_range=(1, 2),
    sublinear_tf=True)`. Words are known by id, pairs by a hash. The weights of both are set from
    outside, see `tasks.wide`; no gradient reaches them, and training leaves the linear model out.

    Args:
        vocabulary_size: number of ids of words.
        buckets: number of places for pairs.
        **kwargs: arguments of `keras.layers.Layer`.

    Attributes:
        idf: float32 `(vocabulary_size + buckets,)`, 0 for words and pairs not in the training
            texts.
        kernel: float32 `(vocabulary_size + buckets, classes)`.
        bias: float32 `(classes,)`.
        share: float32 scalar, 0 at first: the factor of the linear model's scores.
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
        """Computes `(batch, classes)` from scores of that shape and int32 `(batch, length)`."""
        if training:
            return scores
        share = self.share.value
        # With a share of 0, the linear model is not computed.
        return tf.cond(share > 0, lambda: scores + share * self.scores(token_ids), lambda: scores)

    def scores(self, token_ids: Any) -> Any:
        """Computes the scores of only the linear model, `(batch, classes)`."""
        places, counts = self.counted(token_ids)
        weights = tf.math.log(tf.maximum(counts, 1)) + 1
        weights *= tf.gather(self.idf.value, places)
        weights = tf.where(counts > 0, weights, 0.0)
        weights = tf.math.l2_normalize(weights, axis=1)
        kernel = tf.gather(self.kernel.value, places)
        return tf.einsum("bn,bnc->bc", weights, kernel) + self.bias

    def counted(self, token_ids: Any) -> tuple[Any, Any]:
        """Counts the words and pairs of a text.

        Args:
            token_ids: int32 `(batch, length)`.

        Returns:
            Int32 and float32 `(batch, n)`: places in `kernel`, and counts, which are 0 for unused
            places.
        """
        first, second = token_ids[:, :-1], token_ids[:, 1:]
        # Two odd numbers of 32 bits mix the ids; the remainder by a prime uses all bits.
        # Tables hold the products, which OpenVINO would compute with 32 bits.
        ids = np.arange(self.vocabulary_size)
        mixed, other = (
            tf.gather(tf.constant(ids * odd % self.buckets, tf.int32), side)
            for odd, side in ((2_654_435_761, first), (2_246_822_519, second))
        )
        is_pair = (first >= _FIRST_WORD) & (second >= _FIRST_WORD)
        words = tf.where(token_ids >= _FIRST_WORD, token_ids, 0)
        pairs = tf.where(is_pair, (mixed + other) % self.buckets + self.vocabulary_size, 0)
        places = tf.sort(tf.concat([words, pairs], axis=1), axis=1)
        # Equal places are neighbours now: each is counted at its first occurrence.
        rows, width = tf.unstack(tf.shape(places))
        is_new = tf.concat([tf.ones([rows, 1], tf.bool), places[:, 1:] != places[:, :-1]], axis=1)
        runs = tf.cumsum(tf.cast(is_new, tf.int32), axis=1) - 1 + width * tf.range(rows)[:, None]
        lengths = tf.math.unsorted_segment_sum(
            tf.ones([rows * width]), tf.reshape(runs, [-1]), rows * width
        )
        counts = tf.where(is_new & (places > 0), tf.gather(lengths, runs), 0.0)
        return places, counts

    def compute_output_shape(self, scores_shape: Any, *_: Any) -> Any:
        """Returns the shape of the scores."""
        return scores_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        sizes = {"vocabulary_size": self.vocabulary_size, "buckets": self.buckets}
        return {**super().get_config(), **sizes}

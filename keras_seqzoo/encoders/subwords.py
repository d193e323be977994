"""Subword vectors: what a word's parts say where the word itself is rare."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_LENGTHS = (3, 4, 5)
_MOST_PARTS = 32


@keras.saving.register_keras_serializable("keras_seqzoo")
class SubwordEmbedding(keras.layers.Layer):
    """Adds up vectors of a word's character 3- to 5-grams, its ends marked.

    After Bojanowski et al. (2017), Enriching Word Vectors with Subword Information: the n-grams
    share hashed buckets, and words that look alike share n-grams. The sum is divided by the square
    root of the number of n-grams, so that long words are not louder than short ones.

    Args:
        buckets: number of n-gram vectors.
        output_dim: width of a vector.
        vocabulary: the words by id, special tokens first; needed once, then saved as n-grams.

    Example:
        >>> layer = SubwordEmbedding(100, 4, ["[PAD]", "[UNK]", "good", "goods"])
        >>> layer(np.array([[2, 3, 0]])).shape
        TensorShape([1, 3, 4])
    """

    def __init__(
        self, buckets: int, output_dim: int, vocabulary: Sequence[str] = (), **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.buckets = buckets
        self.output_dim = output_dim
        self.parts = _hashed_ngrams(vocabulary, buckets)

    def build(self, input_shape: Any) -> None:
        """Makes the vectors of the buckets."""
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.buckets, self.output_dim), initializer="uniform"
        )

    def call(self, token_ids: Any) -> Any:
        """Word ids, int `(batch, length)`, to vectors `(batch, length, output_dim)`."""
        # A word that occurs often in a batch is put together once.
        words, place = tf.unique(tf.reshape(token_ids, [-1]))
        parts = tf.gather(tf.constant(self.parts), words)
        vectors = tf.gather(self.embeddings.value, tf.maximum(parts, 0))
        is_part = tf.cast(parts >= 0, vectors.dtype)
        number = tf.reduce_sum(is_part, axis=1, keepdims=True)
        total = tf.einsum("wp,wpd->wd", is_part, vectors) / tf.sqrt(tf.maximum(number, 1))
        shape = tf.concat([tf.shape(token_ids), [self.output_dim]], axis=0)
        return tf.cast(tf.reshape(tf.gather(total, place), shape), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Adds the axis of the vectors."""
        return (*input_shape, self.output_dim)

    def save_own_variables(self, store: Any) -> None:
        """Saves the vectors and the words' n-grams (Keras calls this)."""
        super().save_own_variables(store)
        store["parts"] = self.parts

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved (Keras calls this)."""
        self.parts = np.asarray(store["parts"])
        self.embeddings.assign(store["0"])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor but the vocabulary."""
        config = {"buckets": self.buckets, "output_dim": self.output_dim}
        return {**super().get_config(), **config}


def _hashed_ngrams(vocabulary: Sequence[str], buckets: int) -> np.ndarray:
    """Bucket numbers of every word's n-grams, int32 `(words, most n-grams)`, filled with -1."""
    rows = []
    for number, word in enumerate(vocabulary):
        marked = f"<{word}>"
        grams = [
            zlib.crc32(marked[start : start + length].encode()) % buckets
            for length in _LENGTHS
            for start in range(len(marked) - length + 1)
        ]
        # The first two are no words but [PAD] and [UNK].
        rows.append(grams[:_MOST_PARTS] if number >= 2 else [])
    parts = np.full((len(rows), max(map(len, rows), default=1) or 1), -1, np.int32)
    for row, grams in zip(parts, rows, strict=True):
        row[: len(grams)] = grams
    return parts

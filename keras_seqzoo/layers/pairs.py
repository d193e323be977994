"""Layers with which a model from scratch can compare the two texts of a pair."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_seqzoo")
class PairPlaces(keras.layers.Layer):
    """Marks, for each token, which text it is in, and whether the other text has it, too.

    The second part is the exact match of Chen et al. (2017), Reading Wikipedia to Answer
    Open-Domain Questions, section 3.2. Takes int `token_ids`, `padding_mask` and `segment_ids`,
    each `(batch, length)`; returns int32 of that shape, 0 or 1 in the first text and 2 or 3 in the
    second, odd if the other text has the token.
    """

    def call(self, token_ids: Any, padding_mask: Any, segment_ids: Any) -> Any:
        """Computes the numbers."""
        ops = keras.ops
        is_same = ops.expand_dims(token_ids, 2) == ops.expand_dims(token_ids, 1)
        is_across = ops.expand_dims(segment_ids, 2) != ops.expand_dims(segment_ids, 1)
        is_real = ops.expand_dims(padding_mask, 1) != 0
        has_match = ops.any(is_same & is_across & is_real, axis=2)
        return 2 * segment_ids + ops.cast(has_match, segment_ids.dtype)

    def compute_output_shape(self, shape: tuple[Any, ...], *_: Any) -> tuple[Any, ...]:
        """Keeps the shape."""
        return shape


@keras.saving.register_keras_serializable("keras_seqzoo")
class PairAlignment(keras.layers.Layer):
    """Compares each token with its match in the other text: x, y, |x - y| and x * y.

    y is the mean of the other text's vectors, weighted by the similarity of the word vectors: a
    softmax of their products (Parikh et al. 2016, A Decomposable Attention Model for Natural
    Language Inference, section 3.1; the four parts: Chen et al. 2017, Enhanced LSTM for Natural
    Language Inference, section 3.2). y is 0 if the other text has no token. Takes `words`
    `(batch, length, width)`, `vectors` `(batch, length, hidden)` and int `padding_mask` and
    `segment_ids` `(batch, length)`; returns `(batch, length, 4 hidden)`.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, words: Any, vectors: Any, padding_mask: Any, segment_ids: Any) -> Any:
        """Computes the four parts."""
        ops = keras.ops
        is_across = ops.expand_dims(segment_ids, 2) != ops.expand_dims(segment_ids, 1)
        is_across &= ops.expand_dims(padding_mask, 1) != 0
        alike = ops.cast(ops.matmul(words, ops.transpose(words, (0, 2, 1))), "float32")
        weights = ops.softmax(ops.where(is_across, alike, -1e9), axis=2)
        weights = ops.where(is_across, weights, 0.0)
        other = ops.matmul(ops.cast(weights, vectors.dtype), vectors)
        return ops.concatenate([vectors, other, ops.abs(vectors - other), vectors * other], axis=-1)

    def compute_output_shape(self, words_shape: Any, vectors_shape: Any, *_: Any) -> Any:
        """Returns a shape four times as wide."""
        return (*vectors_shape[:-1], 4 * vectors_shape[-1])


@keras.saving.register_keras_serializable("keras_seqzoo")
class PairPooling(keras.layers.Layer):
    """Makes one vector from the vectors of two texts: u, v, |u - v| and u * v.

    u and v are the means and, with `largest`, also the largest values over the tokens of each text
    (Conneau et al. 2017, Supervised Learning of Universal Sentence Representations, section 3.1);
    0 for a text without tokens. Takes `(batch, length, hidden)` and int `padding_mask` and
    `segment_ids` `(batch, length)`; returns `(batch, 4 hidden)`, or `(batch, 8 hidden)` with
    `largest`.
    """

    def __init__(self, largest: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.largest = largest
        self.supports_masking = True

    def compute_mask(self, *_: Any) -> None:
        """Ends the mask that recurrent layers pass on: a pooled vector has no length."""

    def call(self, vectors: Any, padding_mask: Any, segment_ids: Any) -> Any:
        """Pools the vectors."""
        ops = keras.ops
        u, v = (
            self._pool(vectors, (padding_mask != 0) & (segment_ids == number)) for number in (0, 1)
        )
        return ops.concatenate([u, v, ops.abs(u - v), u * v], axis=-1)

    def _pool(self, vectors: Any, is_mine: Any) -> Any:
        ops = keras.ops
        is_mine = ops.expand_dims(is_mine, -1)
        weights = ops.cast(is_mine, vectors.dtype)
        mean = ops.sum(vectors * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)
        if not self.largest:
            return mean
        largest = ops.max(ops.where(is_mine, vectors, -1e4), axis=1)
        largest = ops.where(ops.any(is_mine, axis=1), largest, 0)
        return ops.concatenate([mean, largest], axis=-1)

    def compute_output_shape(self, shape: tuple[Any, ...], *_: Any) -> tuple[Any, ...]:
        """Drops the length axis; four or eight parts."""
        return (shape[0], (8 if self.largest else 4) * shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "largest": self.largest}

"""What lets a model from scratch compare the two texts of a pair."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_seqzoo")
class PairPlaces(keras.layers.Layer):
    """Says of each token in which text it stands, and whether the other text has it, too.

    The second half is the exact match of Chen et al. (2017), Reading Wikipedia to Answer
    Open-Domain Questions, section 3.2. Takes int `token_ids`, `padding_mask` and `segment_ids`,
    each `(batch, length)`; gives int32 of that shape, 0 or 1 in the first text and 2 or 3 in the
    second, odd where the other text has the token.
    """

    def call(self, token_ids: Any, padding_mask: Any, segment_ids: Any) -> Any:
        """Computes the numbers."""
        ops = keras.ops
        is_same = token_ids[:, :, None] == token_ids[:, None, :]
        is_across = segment_ids[:, :, None] != segment_ids[:, None, :]
        is_real = padding_mask[:, None, :] != 0
        has_match = ops.any(is_same & is_across & is_real, axis=2)
        return 2 * segment_ids + ops.cast(has_match, segment_ids.dtype)

    def compute_output_shape(self, shape: tuple[Any, ...], *_: Any) -> tuple[Any, ...]:
        """Keeps the shape."""
        return shape


@keras.saving.register_keras_serializable("keras_seqzoo")
class PairPooling(keras.layers.Layer):
    """Makes one vector of the vectors of two texts: u, v, |u - v| and u * v.

    u and v are the largest values over the tokens of each text (Conneau et al. 2017, Supervised
    Learning of Universal Sentence Representations, section 3.1). Takes `(batch, length, hidden)`
    and int `padding_mask` and `segment_ids` `(batch, length)`; gives `(batch, 4 hidden)`.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, *_: Any) -> None:
        """Ends the mask that recurrent layers hand on: a pooled vector has no length."""

    def call(self, vectors: Any, padding_mask: Any, segment_ids: Any) -> Any:
        """Pools the vectors."""
        ops = keras.ops
        u, v = (
            self._pool(vectors, (padding_mask != 0) & (segment_ids == number)) for number in (0, 1)
        )
        return ops.concatenate([u, v, ops.abs(u - v), u * v], axis=-1)

    def _pool(self, vectors: Any, is_mine: Any) -> Any:
        ops = keras.ops
        weights = ops.cast(ops.expand_dims(is_mine, -1), vectors.dtype)
        return ops.sum(vectors * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)

    def compute_output_shape(self, shape: tuple[Any, ...], *_: Any) -> tuple[Any, ...]:
        """Drops the length axis; four parts."""
        return (shape[0], 4 * shape[-1])

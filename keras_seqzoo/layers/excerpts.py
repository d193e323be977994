"""Encodes texts that are longer than an encoder reads, in excerpts that overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_seqzoo")
class Excerpts(keras.layers.Layer):
    """An encoder's vector for every token of texts of any length.

    A text is read in excerpts as long as the encoder takes. Each excerpt overlaps a quarter of the
    one before it. A token's vector comes from the excerpt that shows the most on both sides of the
    token. A text that fits in one excerpt is read at once.

    Args:
        encoder: functional model from features to `sequence_output`.
        length: tokens that it reads, special ones included.
        special: ids before and after a text, None if it has none, and the padding id.
        **kwargs: arguments of `keras.layers.Layer`.
    """

    def __init__(
        self, encoder: keras.Model, length: int, special: Sequence[int | None], **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.start_id, self.end_id, self.pad_id = special
        self.room = length - (self.start_id is not None) - (self.end_id is not None)
        self.overlap = self.room // 4

    def call(self, features: Mapping[str, Any], training: bool | None = None) -> Any:
        """Turns features `(batch, length)` into vectors `(batch, length, hidden)`."""
        mask = features["padding_mask"]
        batch, length = tf.shape(mask)[0], tf.shape(mask)[1]
        size, stride = tf.minimum(length, self.room), self.room - self.overlap
        count = 1 + -(-tf.maximum(length - self.room, 0) // stride)
        at = tf.range(count)[:, None] * stride + tf.range(size)
        inside = at < length
        at = tf.minimum(at, length - 1)

        def excerpts(values: Any) -> Any:
            cut = tf.gather(values, at, axis=1)
            return tf.reshape(cut, tf.concat([[batch * count, size], tf.shape(cut)[3:]], 0))

        real = excerpts(mask) * tf.cast(tf.tile(inside, [batch, 1]), mask.dtype)
        # After the last token of a text there is nothing to read.
        chosen = tf.where(tf.reduce_any(real != 0, axis=1))[:, 0]
        real = tf.gather(real, chosen)
        read = {
            # A batch that is divided among replicas has lost its widths.
            name: tf.ensure_shape(tf.gather(excerpts(features[name]), chosen), given.shape)
            for name, given in self.encoder.input.items()
            if name != "padding_mask"
        }
        before, vectors = self._encode(read, real, size, training)
        row_of = tf.scatter_nd(
            chosen[:, None],
            tf.range(tf.size(chosen)),
            tf.cast(tf.reshape(batch * count, [1]), tf.int64),
        )
        # For each token, the excerpt of its text in which it is nearest to the middle.
        place = tf.range(length)
        last = -(-tf.maximum(tf.reduce_sum(mask, axis=1) - self.room, 0) // stride)
        nearest = tf.maximum(place - self.overlap // 2, 0) // stride
        which = tf.minimum(nearest, last[:, None])
        row = tf.gather(row_of, tf.range(batch)[:, None] * count + which)
        within = tf.clip_by_value(place - which * stride, 0, size - 1) + before
        return tf.gather_nd(vectors, tf.stack([row, within], axis=-1))

    def _encode(self, read: dict[str, Any], real: Any, size: Any, training: Any) -> Any:
        """Vectors of excerpts, and the number of special tokens before the first of their own."""
        before, after = int(self.start_id is not None), int(self.end_id is not None)
        width = [[0, 0], [before, after]]
        lengths = tf.reduce_sum(real, axis=1)[:, None] + before
        made = {
            name: tf.pad(values, width + [[0, 0]] * (len(values.shape) - 2))
            for name, values in read.items()
        }
        places = tf.range(size + before + after)[None]
        ids = tf.pad(read["token_ids"], width, constant_values=self.pad_id)
        if before:
            ids = tf.where(places == 0, self.start_id, ids)
        ids = tf.where(places < lengths, ids, self.pad_id)
        if after:
            ids = tf.where(places == lengths, self.end_id, ids)
        made["token_ids"] = ids
        made["padding_mask"] = tf.cast(places < lengths + after, real.dtype)
        return before, self.encoder(made, training=training)["sequence_output"]

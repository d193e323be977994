"""The likelihood of each label after a prompt, by a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.decoding.transformer import TransformerDecoding, backbone_of


@keras.saving.register_keras_serializable("keras_seqzoo")
class LabelScores(keras.layers.Layer):
    """The log-likelihood of every label's whole token sequence after a prompt.

    The prompt is read once; each label continues from its cache.

    Args:
        encoder: functional model over a GPT-2 backbone.
        label_ids: the token ids of each label.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: the encoder is not GPT-2's.
    """

    def __init__(self, encoder: keras.Model, label_ids: Sequence[Sequence[int]], **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        backbone = backbone_of(encoder)
        self.encoder = encoder
        self.decoding = TransformerDecoding(backbone)
        longest = max(map(len, label_ids))
        ids = np.zeros((len(label_ids), longest), np.int32)
        real = np.zeros((len(label_ids), longest), np.float32)
        for row, label in enumerate(label_ids):
            ids[row, : len(label)], real[row, : len(label)] = label, 1
        self._ids, self._real = ids, real
        self.prior = self.add_weight(
            name="prior", shape=(len(label_ids),), initializer="zeros", trainable=False
        )
        self.built = True

    def call(self, features: Any) -> Any:
        """Turns features `(batch, length)` into float32 `(batch, labels)`: scores minus prior."""
        labels, longest = self._ids.shape
        length = tf.shape(features["token_ids"])[1]
        prompt = self.decoding.begin(features, length + longest - 1)
        first = self._log_probabilities(prompt.hidden[:, -1])
        scores = tf.gather(first, self._ids[:, 0], axis=1)
        if longest > 1:
            batch = tf.shape(scores)[0]
            cache = tf.nest.map_structure(lambda x: tf.repeat(x, labels, axis=0), prompt.cache)
            ids = tf.tile(self._ids, [batch, 1])
            hidden, _ = self.decoding.extend(ids[:, :-1], cache, length, prompt.weights)
            rest = tf.gather(self._log_probabilities(hidden), ids[:, 1:], batch_dims=2)
            rest = tf.reshape(rest, [batch, labels, longest - 1]) * self._real[:, 1:]
            scores += tf.reduce_sum(rest, axis=-1)
        return scores - tf.convert_to_tensor(self.prior)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Returns the shape of one score for each label."""
        return (input_shape["token_ids"][0], len(self._ids))

    def _log_probabilities(self, hidden: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(self.decoding.logits(hidden))

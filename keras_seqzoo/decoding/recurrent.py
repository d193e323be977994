"""LSTM and GRU, step by step, with their states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.decoding.transformer import Prompt, last_to_the_end


class RecurrentDecoding:
    """The steps of an encoder of the `recurrent` family.

    Args:
        encoder: `token_embedding`, then a stack of recurrent layers.
        head: turns vectors into the scores of the next token.

    Raises:
        ValueError: an encoder of another kind.
    """

    positions = None

    def __init__(self, encoder: keras.Model, head: Callable[[Any], Any]):
        names = [layer.name for layer in encoder.layers]
        self.layers = [layer for layer in encoder.layers if isinstance(layer, keras.layers.RNN)]
        if "token_embedding" not in names or not self.layers:
            raise ValueError(
                "To predict tokens one by one, an encoder must be GPT-2, or recurrent layers over "
                f"a `token_embedding`. Received: layers {names}"
            )
        self.encoder = encoder
        self.embedding = encoder.get_layer("token_embedding")
        self._head = head

    def logits(self, hidden: Any) -> Any:
        """Computes scores of the next token, float32 `(…, vocabulary)`, from `(…, hidden)`."""
        return self._head(hidden)

    def begin(self, features: Any, slots: tf.Tensor) -> Prompt:
        """Reads prompts; see `TransformerDecoding.begin`."""
        ids, mask = features["token_ids"], features["padding_mask"]
        lengths = tf.reduce_sum(mask, axis=1)
        batch = tf.shape(ids)[0]
        zeros = [
            [tf.zeros(tf.stack([batch, size]), layer.compute_dtype) for size in _sizes(layer)]
            for layer in self.layers
        ]

        def read(t: tf.Tensor, states: Any) -> tuple[Any, Any]:
            _, new = self._step(ids[:, t], states)
            # The last token of a prompt is read by the first `extend`.
            is_before = (t < lengths - 1)[:, None]
            kept = tf.nest.map_structure(lambda a, b: tf.where(is_before, a, b), new, states)
            return t + 1, kept

        _, states = tf.while_loop(
            lambda t, _: t < tf.shape(ids)[1] - 1, read, (tf.constant(0), zeros)
        )
        features = {"segment_ids": tf.zeros_like(ids), **features}
        hidden = self.encoder(features, training=False)["sequence_output"]
        hidden = tf.cast(last_to_the_end(hidden, mask, hidden[:, :1]), tf.float32)
        return Prompt(last_to_the_end(ids, mask, ids[:, :1]), hidden, states)

    def extend(self, token_ids: Any, cache: Any, index: Any, weights: Any) -> tuple[Any, Any]:
        """Reads one more token, int32 `(batch, 1)`; see `TransformerDecoding.extend`."""
        hidden, states = self._step(token_ids[:, 0], cache)
        return tf.cast(hidden, tf.float32)[:, None], states

    def _step(self, token_ids: tf.Tensor, states: Any) -> tuple[Any, Any]:
        x, kept = self.embedding(token_ids), []
        for layer, state in zip(self.layers, states, strict=True):
            x, new = layer.cell(x, state, training=False)
            new = list(new) if isinstance(new, (list, tuple)) else [new]
            kept.append([tf.ensure_shape(a, b.shape) for a, b in zip(new, state, strict=True)])
        return x, kept


def _sizes(layer: Any) -> list[int]:
    sizes = layer.cell.state_size
    return list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]

"""Pretrained vectors that are trained further only after the rest has learnt to read them."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_seqzoo")
class LateEmbedding(keras.layers.Embedding):
    """An embedding whose weights do not change until `rate` is 1.

    Until then its gradient is zero, so Adam and similar optimizers change nothing.
    """

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights."""
        super().build(input_shape)
        self.rate = self.add_weight(name="rate", shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        """Turns ids `(batch, length)` into vectors `(batch, length, width)`."""
        vectors = super().call(inputs)
        rate = keras.ops.cast(self.rate, vectors.dtype)
        return rate * vectors + (1 - rate) * keras.ops.stop_gradient(vectors)


class Later(keras.callbacks.Callback):
    """Trains the embeddings of a model from the second third of the epochs on."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the rate of the embeddings."""
        for layer in self.model.encoder.layers:
            if isinstance(layer, LateEmbedding):
                layer.rate.assign(float(3 * epoch >= self.params["epochs"]))
